// npm run bench:channels -- [--seconds N] [--runs N]
//
// What data channels cost the main thread of a page when nothing of ours is there: the live stream of the goals over HTTP
// alone, and beside it bare channels between all viewers, over which as much is sent as hlswarm's viewers send each other.
// All at the same time, as with --side-by-side. Whoever shares segments pays at least that.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { commandLine } from "../scripts/lib/options.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { connectBare } from "./bare-channel.mjs";
import { percentile } from "./report.mjs";
import { scenarios } from "./scenarios.mjs";
import { makeMedia, publish } from "./streams.mjs";
import { openViewer, processorTime, startViewer } from "./viewers.mjs";
import { startWorld } from "./world.mjs";

const { whole } = commandLine(
  "npm run bench:channels -- [options]: what bare data channels cost the main thread beside a live stream",
  {
    seconds: { default: "60", help: "how long" },
    runs: { default: "3", help: "how often" },
  },
);
const [seconds, runs] = [whole("seconds"), whole("runs")];
const scenario = scenarios["live10-4"];

/** A segment of the stream is sent in so many messages; of 30 in a minute three of four come from peers. */
const messagesPerSegment = 3;
const segmentMessages = 66;
/** What else a viewer of hlswarm says to its peers, to all of them together: claims, requests, pings. */
const smallMessages = 140;

/** Messages that each viewer sends in a minute, or that there are no channels. */
const ways = {
  "HTTP alone": null,
  "channels that are open": { segment: 0, small: 0 },
  "segment bytes over them": { segment: segmentMessages, small: 0 },
  "and small messages": { segment: segmentMessages, small: smallMessages },
};

/** Runs in a page: sends to all peers in turn, a segment's messages at once. */
function talk({ segment, small, perSegment }) {
  const channels = Object.values(window.bare).map(({ channel }) => channel);
  const bytes = new Uint8Array(62_000);
  let turn = 0;
  const next = () => channels[turn++ % channels.length];
  let kept = [];
  for (const channel of channels) {
    channel.onmessage = ({ data }) => {
      kept.push(new Uint8Array(data));
      if (kept.length > 64) kept = [];
    };
  }
  const sendSegment = () => {
    const to = next();
    // New memory for each, as whoever puts a head in front of the bytes needs it.
    for (let i = 0; i < perSegment; i++) to.send(bytes.slice());
  };
  if (segment) setInterval(sendSegment, (60_000 * perSegment) / segment);
  if (small) setInterval(() => next().send(new Uint8Array(47)), 60_000 / small);
}

/** Milliseconds of the main thread per viewer and minute. */
async function play(world, media, name, messages) {
  const stream = publish(world.origin, scenario, media, name);
  const viewers = [];
  for (let i = 0; i < scenario.viewers; i++) {
    viewers.push(await openViewer(world, "http"));
  }
  stream.begin();
  for (const viewer of viewers) {
    await startViewer(viewer, { mode: "http", stream, trackers: [], scenario });
    await viewer.started;
    await new Promise((resolve) => setTimeout(resolve, scenario.joinGapMs));
  }
  if (messages) {
    for (const [i, { page: offerer }] of viewers.entries()) {
      for (const [j, { page: answerer }] of viewers.slice(0, i).entries()) {
        await connectBare(offerer, answerer, `${i}-${j}`);
      }
    }
    for (const { page } of viewers) {
      await page.evaluate(talk, { ...messages, perSegment: messagesPerSegment });
    }
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  let sum = 0;
  for (const { session, before, startedAt } of viewers) {
    const { taskSeconds } = await processorTime(session);
    sum += ((taskSeconds - before.taskSeconds) * 1000) / ((Date.now() - startedAt) / 60_000);
  }
  stream.remove();
  return sum / viewers.length;
}

const media = await makeMedia(scenario);
const results = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
for (let run = 0; run < runs; run++) {
  await Promise.all(
    Object.entries(ways).map(async ([name, messages], i) => {
      const world = await startWorld({ latencyMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY });
      try {
        results[name].push(await play(world, media, `channels-${run}-${i}`, messages));
      } finally {
        await world.close();
      }
    }),
  );
  console.error(`run ${run + 1} of ${runs}: done`);
}
console.log(
  `main thread, ms per viewer and minute; ${scenario.viewers} viewers, ${seconds} s, ${runs} runs, medians`,
);
const base = results["HTTP alone"];
for (const [name, values] of Object.entries(results)) {
  const above = values.map((value, run) => value - base[run]);
  const list = values.map((value) => value.toFixed(0)).join(", ");
  console.log(
    `${name.padEnd(24)} ${percentile(values, 0.5).toFixed(0)} (${list}), above HTTP ${percentile(above, 0.5).toFixed(0)}`,
  );
}
const file = path.join(root, "bench/results", "channels.json");
await mkdir(path.dirname(file), { recursive: true });
await writeFile(file, JSON.stringify({ date: new Date().toISOString(), seconds, results }, null, 1));
