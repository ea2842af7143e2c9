// Plays one scenario in one mode and measures it.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkBuffers } from "../tests/browser/harness/truth.mjs";
import { startProfile } from "./profile.mjs";
import { openViewer, processorTime, startViewer } from "./viewers.mjs";

const firstByteScript = path.join(path.dirname(fileURLToPath(import.meta.url)), "first-byte.js");

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const userAgent = (viewer) => `hlswarm-bench viewer/${viewer}`;

/**
 * Plays `scenario` in `mode` with fresh browser contexts.
 *
 * @param world `{ browser, pages, origin, stream, trackers }`
 * @param options `ready()`: resolves when playing may begin; `profile`: whether to ask the browser what took the time
 * @returns one entry per checkpoint: raw sums over all viewers
 */
export async function measure(
  { browser, pages, origin, stream, trackers },
  scenario,
  mode,
  { ready = async () => {}, profile = false } = {},
) {
  const viewers = [];
  for (let i = 0; i < scenario.viewers; i++) {
    const context = { userAgent: userAgent(i) };
    viewers.push(await openViewer({ browser, pages }, mode, { context, script: firstByteScript }));
  }
  try {
    await ready();
    const profiles = profile ? await Promise.all(viewers.map(({ session }) => startProfile(session))) : [];
    origin.reset();
    stream.begin();
    for (const [i, viewer] of viewers.entries()) {
      if (i > 0) await sleep(scenario.joinGapMs);
      await startViewer(viewer, { mode, stream, trackers, scenario });
      if (scenario.joinGapMs > 0) await viewer.started;
    }
    await Promise.all(viewers.map((viewer) => viewer.started));
    const joinedAt = Date.now();
    const results = [];
    for (const seconds of scenario.checkpoints) {
      await sleep(Math.max(0, joinedAt + seconds * 1000 - Date.now()));
      results.push({ seconds, ...(await snapshot(viewers, origin, stream, joinedAt)) });
    }
    const last = results.at(-1);
    if (last) last.profiles = await Promise.all(profiles.map((stop) => stop()));
    return results;
  } finally {
    await Promise.all(viewers.map((viewer) => viewer.context.close().catch(() => {})));
  }
}

async function snapshot(viewers, origin, stream, joinedAt) {
  const served = origin.segmentsServed();
  const metrics = await Promise.all(viewers.map(({ session }) => processorTime(session)));
  const now = Date.now();
  const reports = await Promise.all(viewers.map(({ page }) => page.evaluate(() => window.viewer.report())));
  const firstPeerByteMs = await Promise.all(
    viewers.map(({ page }) =>
      page.evaluate(() => window.firstPeerByteAt && window.firstPeerByteAt - window.viewer.state.startedAt),
    ),
  );
  const { checked, wrong } = await checkBuffers(reports, origin.bytesAt);
  const minutes = viewers.map(({ startedAt }) => (now - startedAt) / 60000);
  const perMinute = (name) =>
    metrics.reduce(
      (sum, metric, i) => sum + ((metric[name] - viewers[i].before[name]) * 1000) / minutes[i],
      0,
    ) / viewers.length;
  return {
    originBytes: served.bytes,
    uniqueBytes: served.uniqueBytes,
    originRequests: served.requests,
    httpBytesPerViewer: viewers.map((_, i) => served.byViewer.get(userAgent(i)) ?? 0),
    p2pBytesPerViewer: reports.map((report) => report.p2pBytes),
    uploadedBytesPerViewer: reports.map((report) => report.uploadedBytes),
    wastedBytes: reports.reduce((sum, report) => sum + (report.stats?.wastedBytes ?? 0), 0),
    watchedBytes: reports.reduce((sum, report) => sum + report.watchedBytes, 0),
    playedSeconds: reports.map((report) => report.playedSeconds),
    startupMs: reports.map((report) => report.startupMs),
    firstPeerByteMs,
    connectionsMade: await Promise.all(
      viewers.map(({ page }) => page.evaluate(() => window.connectionsMade)),
    ),
    stalls: reports.flatMap((report) => report.stalls.map((stall) => stall.ms)),
    peers: reports.map((report) => report.peers),
    taskMsPerMinute: perMinute("taskSeconds"),
    scriptMsPerMinute: perMinute("scriptSeconds"),
    processMsPerMinute: perMinute("processSeconds"),
    reachMs: reachTimes(reports, stream, joinedAt),
    // For finding out why.
    viewers: reports.map(({ startupMs, buffers, events }) => ({
      startupMs,
      buffers: buffers.map(({ sn, level, bytes, waitedMs, deliveredAtUnixMs }) => ({
        sn,
        level,
        bytes,
        waitedMs,
        deliveredAtUnixMs,
      })),
      events,
    })),
    startedAtUnixMs: viewers.map(({ startedAt }) => startedAt),
    checked,
    wrong,
    errors: reports.flatMap((report, i) => report.errors.map((error) => `viewer ${i}: ${error}`)),
  };
}

/** For each live segment published after all had joined: from its publication to the last viewer's delivery. */
function reachTimes(reports, stream, joinedAt) {
  if (!stream.publishedAtUnixMs) return [];
  const last = new Map();
  for (const report of reports) {
    for (const { sn, deliveredAtUnixMs } of report.buffers) {
      const entry = last.get(sn) ?? { count: 0, at: 0 };
      last.set(sn, { count: entry.count + 1, at: Math.max(entry.at, deliveredAtUnixMs) });
    }
  }
  return [...last]
    .filter(([, { count }]) => count >= reports.length)
    .map(([sn, { at }]) => ({ at, published: stream.publishedAtUnixMs(sn) }))
    .filter(({ published }) => published > joinedAt)
    .map(({ at, published }) => at - published);
}
