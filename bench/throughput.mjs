// npm run bench:throughput -- [--rounds N]
//
// How fast one page gets 1 MB segments from another: through hlswarm, against a bare data channel between the same two
// pages, before and after. So what else the machine does hits both alike.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { commandLine } from "../scripts/lib/options.mjs";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { startTracker } from "../tests/browser/harness/tracker.mjs";
import { makeHls } from "../tests/support/media.mjs";
import { startOrigin } from "../tests/support/origin.mjs";
import { bareThroughput } from "./bare-channel.mjs";
import { percentile } from "./report.mjs";

const rounds = commandLine(
  "npm run bench:throughput -- [options]: segments of 1 MB between two pages, beside a bare channel",
  {
    rounds: { default: "5", help: "how often" },
  },
).whole("rounds");

/** How the segments are asked for: as hls.js does for one track, and two at a time, so that the line never waits for a request. */
const ways = [
  { name: "one after the other", concurrent: 1, from: 5, to: 40 },
  { name: "two at a time", concurrent: 2, from: 40, to: 75 },
];
const segmentCount = 75;
const p2pOptions = {
  loader: {
    cachedSegmentsCount: 100,

    httpDownloadProbability: 0,
    // One page serves all rounds: by default it would have given enough after a few.
    uploadRatio: 0,
    // The player stands still at the beginning: without this the far segments would wait for it to come near.
    p2pDownloadMaxPriority: 1000,
  },
};

/** Loads segments as hls.js would, and returns bits per second and what came from the peer. */
async function loadThroughHlswarm({ from, to, concurrent }) {
  const { hls, p2p } = window.viewer.state;
  const fragments = hls.levels[0].details.fragments.slice(from, to);
  const before = p2p.stats();
  const load = (frag) =>
    new Promise((resolve, reject) => {
      const loader = new hls.config.fLoader(hls.config);
      setTimeout(() => reject(new Error(`segment ${frag.sn} did not come within 20 s`)), 20_000);
      const context = {
        frag,
        part: null,
        type: "fragment",
        url: frag.url,
        responseType: "arraybuffer",
        headers: {},
      };
      const loadPolicy = {
        maxTimeToFirstByteMs: 60_000,
        maxLoadTimeMs: 60_000,
        timeoutRetry: null,
        errorRetry: null,
      };
      const config = { loadPolicy, timeout: 60_000, maxRetry: 0, retryDelay: 0, maxRetryDelay: 0 };
      loader.load({ ...context, rangeStart: 0, rangeEnd: 0 }, config, {
        onSuccess: ({ data }) => resolve(data.byteLength),
        onError: (error) => reject(new Error(`segment ${frag.sn}: ${error.code} ${error.text}`)),
        onTimeout: () => reject(new Error(`segment ${frag.sn}: timeout`)),
        onAbort: () => reject(new Error(`segment ${frag.sn}: aborted`)),
      });
    });
  const startedAt = performance.now();
  let next = 0;
  let bytes = 0;
  const worker = async () => {
    while (next < fragments.length) {
      const loaded = await load(fragments[next++]);
      bytes += loaded;
    }
  };
  await Promise.all(Array.from({ length: concurrent }, worker));
  const ms = performance.now() - startedAt;
  const after = p2p.stats();
  const p2pBytes = after.p2pBytes - before.p2pBytes;
  return {
    bitsPerSecond: (bytes * 8000) / ms,
    bytes,
    p2pBytes,
    httpBytes: after.httpBytes - before.httpBytes,
  };
}

const media = await makeHls({
  segments: segmentCount,
  segmentSeconds: 4,
  renditions: [{ height: 180, kbps: 1850 }],
});
const origin = await startOrigin({ dir: path.join(root, ".cache/media") });
const pages = await startPages();
const tracker = await startTracker();
const browser = await launchChromium();

async function open(manifestUrl, hlsConfig) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${pages.url}/page/viewer.html`);
  await page.waitForFunction(() => window.viewer);
  await page.evaluate((given) => window.viewer.start(given), {
    mode: "hlswarm",
    manifestUrl,
    trackers: [tracker.url],
    hlsConfig,
    p2pOptions,
  });
  return { context, page };
}

const results = [];
try {
  const url = `${origin.url}/${path.basename(media.dir)}/${media.master}`;
  const whole = { maxBufferLength: 600, maxMaxBufferLength: 600, maxBufferSize: 1e9 };
  const a = await open(url, whole);
  const holdsAll = (count) => window.viewer.status().cached >= count;
  await a.page.waitForFunction(holdsAll, media.tracks[0].segments.length, { timeout: 120_000 });
  await a.page.evaluate(() => window.viewer.video.pause());
  for (let round = 0; round < rounds; round++) {
    const b = await open(url, { maxBufferLength: 1, maxMaxBufferLength: 1 });
    const joined = () => window.viewer.status().peers === 1 && window.viewer.status().started;
    await b.page.waitForFunction(joined, undefined, { timeout: 60_000 }).catch(async (error) => {
      const [sender, receiver] = await Promise.all(
        [a, b].map(({ page }) => page.evaluate(() => window.viewer.status())),
      );
      throw new Error(`the pages did not meet: ${JSON.stringify({ sender, receiver })}`, { cause: error });
    });
    await b.page.evaluate(() => window.viewer.video.pause());
    const before = await bareThroughput(a.page, b.page, 20e6);
    const ours = [];
    for (const way of ways) ours.push(await b.page.evaluate(loadThroughHlswarm, way));
    const after = await bareThroughput(a.page, b.page, 20e6);
    const bareBps = 2 / (1 / before + 1 / after);
    results.push({ bareBeforeBps: before, bareAfterBps: after, bareBps, ours });
    await b.context.close();
    const share = (of) => ((of.bitsPerSecond / bareBps) * 100).toFixed(0);
    const each = ours.map(
      (of, index) => `${ways[index].name} ${(of.bitsPerSecond / 1e6).toFixed(0)} Mbit/s (${share(of)} %)`,
    );
    const fromPeer = ours.map(({ p2pBytes, bytes }) => (p2pBytes / bytes).toFixed(2));
    console.log(
      `round ${round + 1}: bare ${(bareBps / 1e6).toFixed(0)} Mbit/s, hlswarm ${each.join(", ")}, ` +
        `${fromPeer.join(" and ")} bytes from the peer for each delivered`,
    );
  }
  for (const [index, { name }] of ways.entries()) {
    const ratios = results.map(({ bareBps, ours }) => ours[index].bitsPerSecond / bareBps);
    console.log(
      `${name}: median ${(percentile(ratios, 0.5) * 100).toFixed(0)} % of the bare channel, ${rounds} rounds`,
    );
  }
} finally {
  await browser.close();
  await Promise.all([pages.close(), tracker.close(), origin.close()]);
  const file = path.join(root, "bench/results", "throughput.json");
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify({ date: new Date().toISOString(), results }, null, 1));
}
