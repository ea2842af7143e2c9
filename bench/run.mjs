// npm run bench -- [--scenario NAME[,NAME]] [--runs N] [--modes http,p2pml,hlswarm] [--out FILE]
//                  [--latency-ms N] [--origin-mbps N] [--verbose]
//
// The origin is on the same machine and as fast as it can, unless it is told to be slower.
// Plays the same stream from the same origin in the same browser: over HTTP alone, with p2p-media-loader 2.3.1 and
// with hlswarm, one after the other, and prints what each cost the origin and the viewer.
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { startTracker } from "../tests/browser/harness/tracker.mjs";
import { startOrigin } from "../tests/support/origin.mjs";
import { measure } from "./measure.mjs";
import { figures, table } from "./report.mjs";
import { scenarios } from "./scenarios.mjs";
import { makeMedia, publish } from "./streams.mjs";
import { startReferenceTracker } from "./trackers.mjs";

const { values: options } = parseArgs({
  options: {
    scenario: { type: "string", default: "vod5,live4" },
    runs: { type: "string", default: "1" },
    modes: { type: "string", default: "http,p2pml,hlswarm" },
    out: { type: "string" },
    "latency-ms": { type: "string", default: "0" },
    "origin-mbps": { type: "string", default: "Infinity" },
    verbose: { type: "boolean", default: false },
  },
});

const names = options.scenario === "all" ? Object.keys(scenarios) : options.scenario.split(",");
for (const name of names) {
  if (!scenarios[name])
    throw new Error(`--scenario: no scenario "${name}"; there are ${Object.keys(scenarios).join(", ")}, all`);
}
const runs = Number(options.runs);
if (!Number.isInteger(runs) || runs < 1)
  throw new Error(`--runs: "${options.runs}" is not a whole number from 1`);
const number = (name) => {
  const value = Number(options[name]);
  if (!(value >= 0)) throw new Error(`--${name}: "${options[name]}" is not a number from 0`);
  return value;
};
const shape = { latencyMs: number("latency-ms"), bytesPerSecond: number("origin-mbps") * 125_000 };
const modes = options.modes.split(",");
const known = ["http", "p2pml", "hlswarm"];
for (const mode of modes)
  if (!known.includes(mode)) throw new Error(`--modes: no mode "${mode}"; there are ${known.join(", ")}`);

const trackerOf = { p2pml: startReferenceTracker, hlswarm: startTracker };
if (modes.includes("hlswarm") && !existsSync(path.join(root, "dist/hls.js"))) {
  throw new Error("hlswarm is not built: run `npm run build`, or compare without it: --modes http,p2pml");
}

const origin = await startOrigin({ dir: path.join(root, ".cache/media"), ...shape });
const pages = await startPages();
const browser = await launchChromium();
const results = [];
try {
  for (const name of names) {
    const scenario = scenarios[name];
    const media = await makeMedia(scenario);
    const byCheckpoint = new Map(scenario.checkpoints.map((seconds) => [seconds, new Map()]));
    for (let run = 0; run < runs; run++) {
      let alone;
      for (const mode of modes) {
        const tracker = await trackerOf[mode]?.();
        const stream = publish(origin, scenario, media, `${name}-${run}-${mode}`);
        const raw = await measure(
          { browser, pages, origin, stream, trackers: tracker ? [tracker.url] : [] },
          scenario,
          mode,
        );
        await tracker?.close();
        stream.remove();
        if (mode === "http") alone = raw;
        for (const [i, entry] of raw.entries()) {
          const { seconds } = entry;
          const figure = figures(entry, alone?.[i]);
          results.push({ scenario: name, run, mode, seconds, figures: figure, raw: entry });
          const runsOfMode = byCheckpoint.get(seconds);
          if (!runsOfMode.has(mode)) runsOfMode.set(mode, []);
          runsOfMode.get(mode).push(figure);
          for (const line of entry.wrong) console.error(`WRONG BUFFER ${line}`);
          if (options.verbose) for (const line of entry.errors) console.error(`${mode}: ${line}`);
        }
        console.error(`${name}, run ${run + 1} of ${runs}, ${mode}: done`);
      }
    }
    for (const [seconds, ofModes] of byCheckpoint)
      console.log(table(scenario.title, scenario.viewers, seconds, ofModes));
  }
} finally {
  await browser.close();
  await pages.close();
  await origin.close();
  if (results.length) {
    const file =
      options.out ??
      path.join(root, "bench/results", `${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.json`);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify({ date: new Date().toISOString(), options, results }, null, 1));
    console.error(`raw figures: ${path.relative(process.cwd(), file)}`);
  }
}
