// The tables of docs/simulator.md: which runs they consist of, and what they show of each.

import { Problem } from "./run.mjs";

const coordination = (name) => ["--option", `loader.coordination=${name}`];
/** The ways to decide who fetches what nobody has. */
export const WAYS = [
  { name: "hlswarm", options: [], colour: "#0b6e4f" },
  { name: "lowest hash among neighbours", options: coordination("neighbourhood"), colour: "#c8553d" },
  {
    name: "lowest hash, whole segments",
    options: [...coordination("neighbourhood"), "--whole-segments"],
    colour: "#e0a458",
  },
  { name: "random", options: coordination("random"), colour: "#5b5f97" },
  {
    name: "random, whole segments",
    options: [...coordination("random"), "--whole-segments"],
    colour: "#a3a7d4",
  },
];

/** What peers' bytes are held against: the default, and records that the publisher signs. */
const INTEGRITY = [
  { name: "auto", options: [] },
  { name: "signed", options: ["--option", "integrity.mode=signed"] },
];

const runs = (scenarios, counts, ways = [WAYS[0]]) =>
  scenarios.flatMap((scenario) =>
    ways.flatMap(({ options }) => counts.map((viewers) => ({ scenario, viewers, options }))),
  );

const fixed = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
const whole = (value) => fixed(value, 0);

const COLUMNS = {
  scenario: (row) => row.scenario,
  way: (row) => wayOf(row).name,
  integrity: (row) => INTEGRITY.find(({ options }) => sameOptions(options, row.options)).name,
  viewers: (row) => row.viewers.toLocaleString("en"),
  "P2P ratio": (row) => fixed(row.p2pRatio, 3),
  offload: (row) => fixed(row.offload, 3),
  ideal: (row) => fixed(row.ideal, 3),
  reachable: (row) => fixed(row.reachable, 3),
  "up bound": (row) => fixed(row.uploadBound, 2),
  "origin copies": (row) => fixed(row.originCopies, 2),
  "beside start": (row) => fixed(row.originCopiesBesideStart, 2),
  "of it compared": (row) => fixed(row.comparedCopies, 2),
  bound: (row) => fixed(row.reachableCopies, 2),
  "fetched/watched": (row) => fixed(row.fetchedOverDelivered, 3),
  "stalls (HTTP)": (row) => `${row.stalls} (${whole(row.httpStalls)})`,
  "stall s (HTTP)": (row) => `${fixed(row.stallS, 1)} (${fixed(row.httpStallS, 1)})`,
  "most extra ms": (row) => whole(row.mostExtraStallMs),
  "start p50/p95 ms (HTTP)": (row) =>
    `${whole(row.startupP50Ms)}/${whole(row.startupP95Ms)} (${whole(row.httpStartupP50Ms)}/${whole(row.httpStartupP95Ms)})`,
  "reach p50/p95/max ms": (row) =>
    `${whole(row.reachP50Ms)}/${whole(row.reachP95Ms)}/${whole(row.reachMaxMs)}`,
  "hops p50/p95": (row) => row.hops?.map(whole).join("/") ?? "-",
  wasted: (row) => `${fixed(100 * row.wasted, 1)}%`,
  wrong: (row) => String(row.wrong),
};

const PROMISE = ["stalls (HTTP)", "stall s (HTTP)", "most extra ms", "start p50/p95 ms (HTTP)"];
const COPIES = ["P2P ratio", "offload", "reachable", "up bound", "origin copies", "beside start", "bound"];
const ALL = [
  "scenario",
  "viewers",
  ...COPIES,
  "fetched/watched",
  ...PROMISE,
  "reach p50/p95/max ms",
  "wrong",
];

const SCALE = ["live-scale", "vod-scale"];
/** By name: the runs, the columns. */
export const TABLES = {
  scale: { runs: runs(SCALE, [10, 100, 1000, 10_000]), columns: ALL },
  uplink: {
    runs: runs(["live-uplink"], [100, 1000, 10_000], INTEGRITY),
    columns: [
      ...[
        "integrity",
        "viewers",
        "P2P ratio",
        "offload",
        "ideal",
        "origin copies",
        "beside start",
        "of it compared",
      ],
      ...["fetched/watched", ...PROMISE, "reach p50/p95/max ms", "hops p50/p95", "wrong"],
    ],
  },
  crowds: {
    runs: [
      ...runs(["flash-crowd", "vod-flash-crowd", "churn", "live-narrow"], [100, 1000]),
      ...runs(["non-uploaders", "vod-non-uploaders"], [10, 100, 1000]),
    ],
    columns: ALL,
  },
  coordination: {
    runs: runs(SCALE, [10, 100, 1000], WAYS),
    columns: ["scenario", "viewers", "way", ...COPIES, "fetched/watched", ...PROMISE, "reach p50/p95/max ms"],
  },
};

/** The way that a row was run with. */
export function wayOf(row) {
  const way = WAYS.find(({ options }) => sameOptions(options, row.options));
  if (!way) throw new Problem(`nobody knows a row with the options ${row.options}`);
  return way;
}

/** Options as the simulator writes them into a row. */
function written(options) {
  return options
    .filter((option) => option !== "--option")
    .map((option) => (option === "--whole-segments" ? "whole segments" : option));
}

const sameOptions = (options, row) =>
  written(options).join() === row.map((each) => each.replaceAll('"', "")).join();

/** What tells a row from others. */
export function keyOf({ scenario, viewers, options }) {
  const plain = written(options).map((option) => option.replaceAll('"', ""));
  return [scenario, plain.join(), String(viewers).padStart(7, "0")].join(" ");
}

/** The runs that there are no rows of. */
export const missing = (wanted, rows) => {
  const known = new Set(rows.map(keyOf));
  return wanted.filter((each) => !known.has(keyOf(each)));
};

/** Whether an assertion ended a run before its time. */
export const isBrokenOff = ({ endedS, lengthS }) => endedS < lengthS - 1;

/** What of a row is kept: without what depends on the machine. */
export function slim(row) {
  const kept = {};
  for (const name of KEPT) kept[name] = typeof row[name] === "number" ? round(row[name]) : row[name];
  kept.reachQuantilesMs = row.reachQuantilesMs.map(Math.round);
  kept.hops = row.spread?.hops ?? null;
  kept.wasted = round(row.wastedBytes / row.deliveredBytes);
  // What was fetched from the origin to be compared, in copies of the stream.
  const streamBytes = row.originBytes / row.originCopies;
  kept.comparedCopies = round((row.checkShare * row.deliveredBytes) / streamBytes);
  return kept;
}

const round = (value) => Number(value.toPrecision(6));

const KEPT = [
  ...["scenario", "viewers", "options", "seed", "lengthS", "appeared", "p2pRatio", "offload", "ideal"],
  ...["reachable", "reachableCopies", "uploadBound", "originCopies", "originCopiesBesideStart"],
  ...["fetchedOverDelivered", "stalls", "stallS", "httpStalls", "httpStallS", "mostExtraStallMs"],
  ...["startupP50Ms", "startupP95Ms", "httpStartupP50Ms", "httpStartupP95Ms"],
  ...["reachP50Ms", "reachP95Ms", "reachMaxMs", "wrong", "events", "viewerS"],
];

/** A table as Markdown; rows that were not run yet are left out. */
export function tableOf(name, rows) {
  const { runs, columns } = TABLES[name];
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  const sorted = name === "coordination" || name === "uplink" ? bySize(runs) : runs;
  const lines = sorted.flatMap((each) => byKey.get(keyOf(each)) ?? []).map((row) => cells(columns, row));
  const line = (texts) => `| ${texts.join(" | ")} |`;
  return [line(columns), `|${"---|".repeat(columns.length)}`, ...lines.map(line)].join("\n");
}

const cells = (columns, row) => columns.map((column) => COLUMNS[column](row));

/** The ways side by side for each number of viewers. */
function bySize(runs) {
  const scenarios = [...new Set(runs.map((each) => each.scenario))];
  return runs.toSorted(
    (a, b) => scenarios.indexOf(a.scenario) - scenarios.indexOf(b.scenario) || a.viewers - b.viewers,
  );
}

/** Puts a table between its marks in a page. */
export function fill(page, name, table) {
  const [begin, end] = [`<!-- sim: ${name} -->\n`, "<!-- /sim -->"];
  const from = page.indexOf(begin);
  const to = page.indexOf(end, from);
  if (from < 0 || to < 0) throw new Problem(`docs/simulator.md has no place for the table ${name}: ${begin}`);
  return `${page.slice(0, from + begin.length) + table}\n${page.slice(to)}`;
}
