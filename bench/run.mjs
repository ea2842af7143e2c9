// npm run bench -- --help
//
// Plays the same stream over HTTP alone, with p2p-media-loader 2.3.1 and with hlswarm, and prints what each cost the
// origin and the viewer. One after the other in one browser, from one origin; or, with --side-by-side, all at the same
// time, each in a browser of its own from an origin of its own: a third of the time, and the modes share the machine.
// The origin is on the same machine and as fast as it can, unless it is told to be slower.
// --profile prints what scripts spent their time on, and makes them slower.
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { commandLine, refuse } from "../scripts/lib/options.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { verdictLines, verdicts } from "./goals.mjs";
import { measure } from "./measure.mjs";
import { profileTable } from "./profile.mjs";
import { figures, table } from "./report.mjs";
import { groups, scenarios } from "./scenarios.mjs";
import { makeMedia, publish } from "./streams.mjs";
import { barrier, startTrackerOf, startWorld } from "./world.mjs";

const named = { ...groups, all: Object.keys(scenarios) };
const {
  values: options,
  whole,
  number,
  list,
} = commandLine(
  "npm run bench -- [options]: the same stream over HTTP alone, with p2p-media-loader and with hlswarm",
  {
    scenario: { default: "vod5,live4", help: "what is played, in bench/scenarios.mjs, or a group, or all" },
    runs: { default: "1", help: "how often" },
    modes: { default: "http,p2pml,hlswarm", help: "with what" },
    "side-by-side": { default: false, help: "all modes at the same time" },
    profile: { default: false, help: "print what scripts spent their time on" },
    out: { help: "file of the raw figures (default: a new one in bench/results)" },
    "latency-ms": { default: "0", help: "how long the origin takes to answer" },
    "origin-mbps": { default: "Infinity", help: "how fast the origin sends each response" },
    verbose: { default: false, help: "print errors of the players" },
  },
);

const names = list("scenario", [...Object.keys(scenarios), ...Object.keys(named)]).flatMap(
  (name) => named[name] ?? [name],
);
const runs = whole("runs");
const shape = { latencyMs: number("latency-ms"), bytesPerSecond: number("origin-mbps") * 125_000 };
const modes = list("modes", ["http", "p2pml", "hlswarm"]);
if (modes.includes("hlswarm") && !existsSync(path.join(root, "dist/hls.js"))) {
  refuse("hlswarm is not built: run `npm run build`, or compare without it: --modes http,p2pml");
}

/** Plays one scenario once in one mode. */
async function play(world, name, media, run, mode, ready) {
  const scenario = scenarios[name];
  const tracker = await startTrackerOf(mode);
  const stream = publish(world.origin, scenario, media, `${name}-${run}-${mode}`);
  try {
    const place = { ...world, stream, trackers: tracker.urls };
    return await measure(place, scenario, mode, { ready, profile: options.profile });
  } finally {
    await tracker.close();
    stream.remove();
    console.error(`${name}, run ${run + 1} of ${runs}, ${mode}: done`);
  }
}

/** Plays one scenario once in all modes: `Map<mode, raw[]>`. */
async function playAll(name, media, run) {
  if (!options["side-by-side"]) {
    const raws = new Map();
    for (const mode of modes) raws.set(mode, await play(shared, name, media, run, mode));
    return raws;
  }
  const worlds = await Promise.all(modes.map(() => startWorld(shape)));
  try {
    const ready = barrier(modes.length);
    const raws = await Promise.all(modes.map((mode, i) => play(worlds[i], name, media, run, mode, ready)));
    return new Map(modes.map((mode, i) => [mode, raws[i]]));
  } finally {
    await Promise.all(worlds.map((world) => world.close()));
  }
}

const shared = options["side-by-side"] ? undefined : await startWorld(shape);
const results = [];
const missed = [];
try {
  for (const name of names) {
    const scenario = scenarios[name];
    const media = await makeMedia(scenario);
    const byCheckpoint = new Map(scenario.checkpoints.map((seconds) => [seconds, new Map()]));
    for (let run = 0; run < runs; run++) {
      const raws = await playAll(name, media, run);
      for (const [mode, raw] of raws) {
        for (const [i, entry] of raw.entries()) {
          const { seconds } = entry;
          const figure = figures(entry, raws.get("http")?.[i]);
          results.push({ scenario: name, run, mode, seconds, figures: figure, raw: entry });
          const runsOfMode = byCheckpoint.get(seconds);
          if (!runsOfMode.has(mode)) runsOfMode.set(mode, []);
          runsOfMode.get(mode).push(figure);
          for (const line of entry.wrong) console.error(`WRONG BUFFER ${line}`);
          if (options.verbose) for (const line of entry.errors) console.error(`${mode}: ${line}`);
          if (entry.profiles?.length) console.log(profileTable(`${name}, ${mode}`, entry.profiles));
        }
      }
    }
    for (const [seconds, ofModes] of byCheckpoint) {
      console.log(table(scenario.title, scenario.viewers, seconds, ofModes));
      const judged = verdicts(scenario, ofModes);
      console.log(`${verdictLines(judged)}\n`);
      for (const { what, value, goal, reached } of judged)
        if (!reached) missed.push(`${name} after ${seconds} s: ${what} ${value} (goal ${goal})`);
    }
  }
  console.log(missed.length ? `Goals missed:\n${missed.join("\n")}` : "All goals reached.");
} finally {
  await shared?.close();
  if (results.length) {
    const file =
      options.out ??
      path.join(root, "bench/results", `${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.json`);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify({ date: new Date().toISOString(), options, results }, null, 1));
    console.error(`raw figures: ${path.relative(process.cwd(), file)}`);
  }
}
