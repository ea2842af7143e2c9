// What the benchmark plays. Times in seconds unless a name says otherwise.
//
// vod:  `segments` x `segmentSeconds`, all there from the beginning.
// live: a window of `window` segments of `segmentSeconds` that moves on.
// Checkpoints count from the moment when the last viewer has joined.
//
// goals: what hlswarm shall reach, as medians over the runs. `offload`, or `offloadOfIdeal`: as a part of (N-1)/N.
// `fetchedOfHttp`: bytes fetched for each watched, against HTTP alone. `originCopies` at most; `spread` of the offload,
// from the lowest run to the highest, at most. Those in `goalsOfAll` hold everywhere.

const buffer60 = { maxMaxBufferLength: 60 };
const vodGoals = { offloadOfIdeal: 0.95, fetchedOfHttp: 1.2 };

/** Stalls and start-up against HTTP alone in the same run; main thread time above HTTP's against p2p-media-loader's. */
export const goalsOfAll = { startupLaterMs: 100, stalledLongerMs: 250, mainThreadOfP2pml: 1 / 3, wrong: 0 };

/** Names for several scenarios. */
export const groups = {
  goals: ["vod150-5", "vod150-8", "vod150-5-at-once", "vod150-5-recipe", "live10-4", "live10-8", "live5-4"],
  "goals-vod": ["vod150-5", "vod150-8", "vod150-5-at-once", "vod150-5-recipe"],
  "goals-live": ["live10-4", "live10-8", "live5-4"],
};

export const scenarios = {
  vod5: {
    title: "VOD 30 x 4 s, 5 viewers 1 s apart",
    kind: "vod",
    segments: 30,
    segmentSeconds: 4,
    viewers: 5,
    joinGapMs: 1000,
    checkpoints: [60],
  },
  live4: {
    title: "live 10 x 2 s, 4 viewers 1 s apart",
    kind: "live",
    window: 10,
    segmentSeconds: 2,
    viewers: 4,
    joinGapMs: 1000,
    checkpoints: [60],
  },
  // Many short runs of these tell more of start-up than a long one.
  "start-vod": {
    title: "start-up: VOD 30 x 4 s, 5 viewers 1 s apart",
    kind: "vod",
    segments: 30,
    segmentSeconds: 4,
    viewers: 5,
    joinGapMs: 1000,
    checkpoints: [5],
  },
  "start-live": {
    title: "start-up: live 10 x 2 s, 5 viewers 1 s apart",
    kind: "live",
    window: 10,
    segmentSeconds: 2,
    viewers: 5,
    joinGapMs: 1000,
    checkpoints: [5],
  },
  "vod150-5": {
    title: "VOD 150 x 4 s, 5 viewers 1 s apart, maxMaxBufferLength 60",
    kind: "vod",
    segments: 150,
    segmentSeconds: 4,
    viewers: 5,
    joinGapMs: 1000,
    checkpoints: [60, 180],
    hlsConfig: buffer60,
    goals: vodGoals,
  },
  "vod150-8": {
    title: "VOD 150 x 4 s, 8 viewers 1 s apart, maxMaxBufferLength 60",
    kind: "vod",
    segments: 150,
    segmentSeconds: 4,
    viewers: 8,
    joinGapMs: 1000,
    checkpoints: [60, 180],
    hlsConfig: buffer60,
    goals: vodGoals,
  },
  "vod150-5-at-once": {
    title: "VOD 150 x 4 s, 5 viewers at once, maxMaxBufferLength 60",
    kind: "vod",
    segments: 150,
    segmentSeconds: 4,
    viewers: 5,
    joinGapMs: 0,
    checkpoints: [60, 180],
    hlsConfig: buffer60,
    goals: vodGoals,
  },
  "vod150-5-recipe": {
    title: "VOD 150 x 4 s, 5 viewers 1 s apart, with the start-up recipe",
    kind: "vod",
    segments: 150,
    segmentSeconds: 4,
    viewers: 5,
    joinGapMs: 1000,
    checkpoints: [60, 180],
    hlsConfig: buffer60,
    hlswarm: { loader: { httpDownloadInitialTimeout: 120000, httpDownloadInitialTimeoutPerSegment: 17000 } },
    p2pml: { httpDownloadInitialTimeoutMs: 17000 },
    goals: { originCopies: 1.08 },
  },
  "live10-4": {
    title: "live 10 x 2 s for 120 s, 4 viewers 1 s apart",
    kind: "live",
    window: 10,
    segmentSeconds: 2,
    viewers: 4,
    joinGapMs: 1000,
    checkpoints: [120],
    hlsConfig: buffer60,
    goals: { offload: 0.72, spread: 0.05 },
  },
  "live10-8": {
    title: "live 10 x 2 s for 120 s, 8 viewers 1 s apart",
    kind: "live",
    window: 10,
    segmentSeconds: 2,
    viewers: 8,
    joinGapMs: 1000,
    checkpoints: [120],
    hlsConfig: buffer60,
    goals: { offload: 0.84, spread: 0.05 },
  },
  "live5-4": {
    title: "live 5 x 2 s for 120 s, 4 viewers 1 s apart",
    kind: "live",
    window: 5,
    segmentSeconds: 2,
    viewers: 4,
    joinGapMs: 1000,
    checkpoints: [120],
    hlsConfig: buffer60,
    goals: { offload: 0.65 },
  },
};
