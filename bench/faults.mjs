// npm run bench:faults -- [--faults NAME[,NAME]] [--runs N] [--at-once N] [--minutes N] [--out FILE] [--verbose] [--list]
//
// Plays each fault with peers and over HTTP alone, at the same time, each side from an origin of its own that fails in the
// same way at the same moments, and prints one table. --at-once: how many faults are played at a time (1). --minutes: no
// further fault is begun after so long (15).
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { commandLine } from "../scripts/lib/options.mjs";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { faults } from "./faults/list.mjs";
import { makeMedia, playSide } from "./faults/play.mjs";
import { broken, faultTable, startups } from "./faults/table.mjs";
import { barrier } from "./world.mjs";

const {
  values: options,
  whole,
  list,
} = commandLine("npm run bench:faults -- [options]: each fault with peers and over HTTP alone", {
  faults: { default: Object.keys(faults).join(","), help: "which" },
  runs: { default: "1", help: "how often each" },
  "at-once": { default: "1", help: "how many are played at a time" },
  minutes: { default: "15", help: "no further fault is begun after so long" },
  out: { help: "file of the raw figures (default: a new one in bench/results)" },
  verbose: { default: false, help: "print errors of the players" },
  list: { default: false, help: "tell what the faults are, and end" },
});
if (options.list) {
  for (const [name, { about }] of Object.entries(faults)) console.log(`${name.padEnd(22)} ${about}`);
  process.exit();
}
const names = list("faults", Object.keys(faults));
const [runs, atOnce, minutes] = ["runs", "at-once", "minutes"].map((name) => whole(name));

const shared = { media: await makeMedia(), pages: await startPages(), browser: await launchChromium() };
const beginUntil = performance.now() + minutes * 60_000;
const results = [];
const left = names.flatMap((name) => Array(runs).fill(name));

/** Plays one fault on both sides; what goes wrong with it is its result. */
async function play(name) {
  const ready = barrier(2);
  const side = (withPeers) =>
    playSide(faults[name], withPeers, shared, ready).catch((error) => {
      ready();
      return { failed: error.message };
    });
  const [alone, withPeers] = await Promise.all([side(false), side(true)]);
  results.push({ name, alone, withPeers });
  console.error(`${name}: ${[alone, withPeers].map(({ failed }) => failed ?? "done").join(", ")}`);
  if (options.verbose) for (const line of withPeers.errors ?? []) console.error(`  ${line}`);
}

async function worker() {
  while (left.length && performance.now() < beginUntil) await play(left.shift());
}

try {
  await Promise.all(Array.from({ length: atOnce }, worker));
} finally {
  await shared.browser.close();
  await shared.pages.close();
  results.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
  const stamp = new Date().toISOString();
  const file =
    options.out ?? path.join(root, "bench/results", `faults-${stamp.replaceAll(":", "-").slice(0, 19)}.json`);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify({ date: stamp, options, results }, null, 1));
  console.error(`raw figures: ${path.relative(process.cwd(), file)}`);
}
console.log(faultTable(results));
const problems = results.flatMap((result) => broken(result));
const { text, late } = startups(results);
if (late) problems.push(text);
else console.log(`All faults together: ${text}.`);
console.log(
  problems.length ? `Not within the invariants:\n${problems.join("\n")}` : "All within the invariants.",
);
if (left.length) console.log(`Not played in ${minutes} minutes: ${[...new Set(left)].join(", ")}`);
