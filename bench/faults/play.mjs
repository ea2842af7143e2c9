// Plays one fault on one side: with peers, or over HTTP alone.
import path from "node:path";
import { root } from "../../tests/browser/harness/paths.mjs";
import { startTracker } from "../../tests/browser/harness/tracker.mjs";
import { checkBuffers } from "../../tests/browser/harness/truth.mjs";
import { startWorld, until } from "../../tests/browser/harness/world.mjs";
import { publishLive } from "../../tests/support/live.mjs";
import { makeHls } from "../../tests/support/media.mjs";
import { fileIn, startOrigin } from "../../tests/support/origin.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const low = { height: 180, kbps: 500 };
const high = { height: 288, kbps: 1000 };
const segmentSeconds = 2;

/** How long a fault is played when it does not say so. */
const usualSeconds = 16;
/** A viewer that has not recovered by then has not. */
const patienceMs = 30_000;
/** Recovery is looked for this often. */
const lookMs = 50;

/** So that most of the stream is still to come when something breaks. */
const hlsConfig = { maxBufferLength: 6, maxMaxBufferLength: 6 };

/** Makes the streams, or finds them in the cache. */
export async function makeMedia() {
  return {
    single: await makeHls({ kind: "ts", segments: 100, segmentSeconds, renditions: [low] }),
    abr: await makeHls({ kind: "ts", segments: 40, segmentSeconds, renditions: [low, high] }),
  };
}

async function startSide(fault, withPeers, { browser, pages, media }) {
  const origin = await startOrigin({ dir: path.join(root, ".cache/media") });
  const tracker = withPeers ? await startTracker() : undefined;
  const world = await startWorld({ origin, tracker, bytesAt: origin.bytesAt, browser, pages });
  const made = fault.stream === "abr" ? media.abr : media.single;
  let stream;
  let url;
  if (fault.stream === "live") {
    stream = publishLive(origin, { stream: made, at: "/live/", window: 8, firstSequence: 1000 });
    url = stream.url;
  } else {
    origin.mount("/vod/", (rest) => fileIn(made.dir, rest));
    url = `${origin.url}/vod/${made.master}`;
  }
  return {
    withPeers,
    world,
    tracker,
    trackers: tracker ? [tracker.url] : [],
    stream,
    url,
    viewers: [],
    options: fault.options ?? {},
    cleanUp: [],
  };
}

/** When a viewer plays on and has what it had, in milliseconds from now; undefined when it did not in time. */
async function recovery(viewer, side, { again = () => true }) {
  const startedAt = performance.now();
  const { position } = await viewer.status();
  const probe = async () => {
    const status = await viewer.status();
    const plays = status.position !== position || status.ended;
    return plays && (!side.withPeers || again(status, side));
  };
  return until("it recovers", probe, { everyMs: lookMs, timeoutMs: patienceMs }).then(
    () => performance.now() - startedAt,
    () => undefined,
  );
}

/** What hlswarm leaves behind when it is told to go. */
async function leftAfterDestroy(viewer) {
  const left = () =>
    viewer.eval(
      () =>
        window.watch.timers.size +
        window.watch.connections.filter((it) => it.connectionState !== "closed").length +
        window.watch.sockets.filter((it) => it.readyState < WebSocket.CLOSING).length,
    );
  await viewer.eval(() => window.viewer.state.p2p.destroy());
  await until("nothing is left", async () => (await left()) === 0, { timeoutMs: 3000 }).catch(() => {});
  return left();
}

/**
 * Plays a fault on one side.
 *
 * @param ready resolves when the other side is there too
 * @returns sums over the viewers: `{ stalls, stalledMs, startupMs, buffers, wrong, errors, left, recoveredMs, p2pBytes,
 *   httpBytes, originBytes, connectionsMade }`
 */
export async function playSide(fault, withPeers, shared, ready) {
  const side = await startSide(fault, withPeers, shared);
  try {
    await fault.prepare?.(side);
    for (const name of ["first", "second"]) {
      const { before } = fault;
      const viewer = await side.world.open(name, {
        prepare: { mode: withPeers ? "hlswarm" : "http" },
        before,
      });
      side.viewers.push(viewer);
    }
    await ready();
    side.stream?.restart();
    for (const viewer of side.viewers) {
      await viewer.start({
        mode: withPeers ? "hlswarm" : "http",
        manifestUrl: side.url,
        trackers: side.trackers,
        hlsConfig: fault.stream === "live" ? {} : hlsConfig,
        p2pOptions: side.options,
      });
      await viewer.until("plays", ({ started }) => started);
    }
    return await playOn(fault, side);
  } finally {
    await side.world.close();
    for (const close of side.cleanUp) await close();
  }
}

async function playOn(fault, side) {
  const startedAt = performance.now();
  const at = (seconds) => sleep(Math.max(0, startedAt + seconds * 1000 - performance.now()));
  const beganAt = fault.at ?? 0;
  await at(beganAt);
  const begun = fault.begin?.(side);
  if (fault.for !== undefined) {
    await at(beganAt + fault.for);
    await begun;
    await fault.end?.(side);
  } else {
    await begun;
  }
  const here = () => side.viewers.filter(({ closed }) => !closed);
  const recovered = await Promise.all(here().map((viewer) => recovery(viewer, side, fault)));
  await at(fault.seconds ?? usualSeconds);
  const reports = await Promise.all(here().map((viewer) => viewer.report()));
  const { checked, wrong } = await checkBuffers(reports, side.world.bytesAt);
  const made = await Promise.all(here().map((viewer) => viewer.eval(() => window.watch.connections.length)));
  const left = side.withPeers ? await Promise.all(here().map(leftAfterDestroy)) : [];
  const sum = (list, of = (it) => it) => list.reduce((total, it) => total + of(it), 0);
  const stalls = reports.flatMap((report) => report.stalls.map(({ ms }) => ms));
  return {
    stalls: stalls.length,
    stalledMs: sum(stalls),
    startupMs: reports.map(({ startupMs }) => startupMs),
    buffers: checked,
    wrong,
    // What hls.js reports of the origin is no fault of ours, unless it gave up.
    errors: reports.flatMap((report) =>
      report.errors.filter((line) => !line.startsWith("hls.js: ") || line.startsWith("hls.js: fatal")),
    ),
    left: sum(left),
    recoveredMs: recovered.includes(undefined) ? undefined : Math.max(...recovered),
    p2pBytes: sum(reports, ({ p2pBytes }) => p2pBytes),
    httpBytes: sum(reports, ({ httpBytes }) => httpBytes),
    originBytes: side.world.origin.segmentsServed().bytes,
    connectionsMade: sum(made),
    positions: reports.map(({ position }) => position),
  };
}
