// The player page: plays one stream with hls.js alone, with hlswarm or with p2p-media-loader, and keeps a record of
// what a viewer would notice.
import { recordBuffers, sha256 } from "./buffers.mjs";

const video = document.querySelector("video");
const state = {
  hls: undefined,
  p2p: undefined,
  buffers: [],
  stalls: [],
  errors: [],
  events: [],
  levels: [],
  startedAt: 0,
  startupMs: undefined,
  p2pml: { http: 0, p2p: 0, uploaded: 0, peers: 0 },
};

addEventListener("error", (event) => state.errors.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) =>
  state.errors.push(`rejection: ${event.reason?.stack ?? event.reason}`),
);

let stall;
function endStall() {
  if (!stall) return;
  stall.ms = performance.now() - stall.at;
  stall = undefined;
}
// A stall is a pause that the viewer did not ask for: playback has begun, and the player waits for media.
video.addEventListener("waiting", () => {
  if (state.startupMs === undefined || stall || video.seeking || video.paused || video.ended) return;
  stall = { at: performance.now(), position: video.currentTime, ms: 0 };
  state.stalls.push(stall);
});
for (const name of ["playing", "seeking", "ended", "pause"]) video.addEventListener(name, endStall);
video.addEventListener("playing", () => {
  state.startupMs ??= performance.now() - state.startedAt;
});

async function loadHls(build) {
  if (build !== "umd") return (await import("hls.js")).default;
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/hls.js/hls.js";
    script.onload = resolve;
    script.onerror = () => reject(new Error("hls.js (UMD) did not load"));
    document.head.append(script);
  });
  return window.Hls;
}

/** Loads the code ahead of time, so that start-up measures playing and not the download of scripts. */
async function prepare({ mode, build }) {
  state.Hls = await loadHls(build);
  if (mode === "hlswarm") state.attachP2P = (await import("hlswarm/hls")).attachP2P;
  if (mode === "p2pml") state.HlsJsP2PEngine = (await import("p2p-media-loader-hlsjs")).HlsJsP2PEngine;
}

const eventNames = [
  "segmentLoaded",
  "segmentFailed",
  "fallback",
  "segmentEvicted",
  "segmentRefused",
  "recordsRefused",
  "bypassed",
  "peerConnected",
  "peerClosed",
  "uploaded",
  "trackerConnected",
  "trackerClosed",
  "trackerError",
  "error",
];

/** Puts hlswarm on the running player. */
function attach(options) {
  const p2p = state.attachP2P(state.hls, options);
  state.p2p = p2p;
  for (const name of eventNames) {
    p2p.on(name, (event) =>
      state.events.push({ name, at: Math.round(performance.now() - state.startedAt), event }),
    );
  }
  recordBuffers(state.hls.config.fLoader ?? state.hls.config.loader, state.buffers);
  return p2p;
}

/**
 * Plays.
 *
 * @param mode "http", "hlswarm" or "p2pml"
 * @param manifestUrl what to play
 * @param trackers tracker URLs
 * @param hlsConfig for the player
 * @param validate SHA-256 of each segment, as `[[url, hex], ...]`: hlswarm gets a segment validator that knows them
 * @param whole whether the player begins when hlswarm is ready, so that no segment passes it by on a slow machine
 * @param p2pOptions for hlswarm, merged over the trackers; for p2p-media-loader, its `core` settings
 */
async function start({
  mode,
  manifestUrl,
  trackers = [],
  hlsConfig = {},
  p2pOptions = {},
  build = "esm",
  validate,
  whole = false,
}) {
  if (!state.Hls) await prepare({ mode, build });
  const { Hls } = state;
  state.startedAt = performance.now();
  if (mode === "p2pml") {
    const Mixed = state.HlsJsP2PEngine.injectMixin(Hls);
    state.hls = new Mixed({
      ...hlsConfig,
      p2p: {
        core: { announceTrackers: trackers, rtcConfig: { iceServers: [] }, ...p2pOptions },
        onHlsJsCreated(hls) {
          const { p2pml } = state;
          hls.p2pEngine.addEventListener("onChunkDownloaded", (bytes, source) => (p2pml[source] += bytes));
          hls.p2pEngine.addEventListener("onChunkUploaded", (bytes) => (p2pml.uploaded += bytes));
          hls.p2pEngine.addEventListener("onPeerConnect", () => p2pml.peers++);
          hls.p2pEngine.addEventListener("onPeerClose", () => p2pml.peers--);
        },
      },
    });
    recordBuffers(state.hls.config.fLoader, state.buffers);
  } else {
    state.hls = new Hls(hlsConfig);
    recordBuffers(state.hls.config.fLoader ?? state.hls.config.loader, state.buffers);
    if (mode === "hlswarm") {
      const { loader = {}, ...rest } = p2pOptions;
      const options = { ...rest, loader: { trackerAnnounce: trackers, ...loader } };
      if (validate) options.loader.segmentValidator = validator(new Map(validate));
      attach(options);
    }
  }
  const { hls } = state;
  hls.on(Hls.Events.ERROR, (_, data) => {
    // hls.js reports in this way that a seek made it give a segment up.
    if (data.details === Hls.ErrorDetails.INTERNAL_ABORTED && !data.fatal) return;
    state.errors.push(
      `hls.js: ${data.fatal ? "fatal " : ""}${data.details} ${data.error?.message ?? ""}`.trim(),
    );
  });
  hls.on(Hls.Events.LEVEL_SWITCHED, (_, data) => state.levels.push(data.level));
  if (whole) await state.p2p.ready;
  hls.loadSource(manifestUrl);
  hls.attachMedia(video);
  video.play().catch(() => {});
}

function validator(digests) {
  return async ({ url }, data) => (await sha256(data)) === digests.get(url);
}

/** Bytes of the buffers that were played, from their place on the timeline. */
function watchedBytes() {
  const played = [];
  for (let i = 0; i < video.played.length; i++) played.push([video.played.start(i), video.played.end(i)]);
  let bytes = 0;
  const counted = new Set();
  for (const buffer of state.buffers) {
    const id = `${buffer.type} ${buffer.level} ${buffer.sn}`;
    if (typeof buffer.sn !== "number" || counted.has(id) || !(buffer.duration > 0)) continue;
    counted.add(id);
    const end = buffer.start + buffer.duration;
    const seen = played.reduce(
      (sum, [from, to]) => sum + Math.max(0, Math.min(to, end) - Math.max(from, buffer.start)),
      0,
    );
    bytes += Math.round(buffer.bytes * Math.min(1, seen / buffer.duration));
  }
  return bytes;
}

/** Everything a test or the benchmark wants to know, as plain data. */
async function report() {
  await Promise.all(state.buffers.map((buffer) => buffer.done));
  const now = performance.now();
  const { p2pml } = state;
  const stats = state.p2p?.stats();
  return {
    position: video.currentTime,
    buffered: video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0,
    playedSeconds: [...Array(video.played.length).keys()].reduce(
      (s, i) => s + video.played.end(i) - video.played.start(i),
      0,
    ),
    readyState: video.readyState,
    ended: video.ended,
    startupMs: state.startupMs,
    stalls: state.stalls.map(({ at, position, ms }) => ({
      atMs: at - state.startedAt,
      position,
      ms: ms || now - at,
    })),
    errors: [...state.errors],
    levels: [...state.levels],
    buffers: state.buffers.map(({ done, ...buffer }) => buffer),
    watchedBytes: watchedBytes(),
    httpBytes: stats ? stats.httpBytes : p2pml.http,
    p2pBytes: stats ? stats.p2pBytes : p2pml.p2p,
    uploadedBytes: stats ? stats.uploadedBytes : p2pml.uploaded,
    peers: stats ? stats.peers : p2pml.peers,
    stats,
    events: state.events,
  };
}

/** The few numbers that tests wait for. */
function status() {
  const stats = state.p2p?.stats();
  const { p2pml } = state;
  return {
    position: video.currentTime,
    started: state.startupMs !== undefined,
    ended: video.ended,
    buffers: state.buffers.length,
    hlsLevel: state.hls?.currentLevel,
    httpBytes: stats ? stats.httpBytes : p2pml.http,
    p2pBytes: stats ? stats.p2pBytes : p2pml.p2p,
    uploadedBytes: stats ? stats.uploadedBytes : p2pml.uploaded,
    peers: stats ? stats.peers : p2pml.peers,
    cached: stats?.cache.segments ?? 0,
    trackers: stats?.trackers.map(({ state }) => state) ?? [],
    connections: window.watch?.connections.filter((it) => it.connectionState !== "closed").length,
  };
}

window.viewer = { state, video, prepare, start, attach, report, status };
