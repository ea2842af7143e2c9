// Draws the simulator's figures: node scripts/plot-sim.mjs FILE... [--out FOLDER]
//
// FILE is docs/simulator.json, or what `npm run sim -- --json FILE` wrote; several are put together. Three pictures come of
// it: the offload and the origin's copies of a segment against the number of viewers, for each way to decide who fetches
// what nobody has, and how long a live segment takes to its viewers. Only the scenarios named by --scenario are drawn.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { WAYS, wayOf } from "./lib/sim-tables.mjs";

const { values, positionals } = parseArgs({
  options: {
    out: { type: "string", default: "docs" },
    scenario: { type: "string", default: "live-scale,vod-scale" },
  },
  allowPositionals: true,
});
if (positionals.length === 0) {
  console.error(
    "usage: node scripts/plot-sim.mjs FILE... [--out FOLDER] [--scenario NAME,...]\nFILE: written by npm run sim -- --json FILE",
  );
  process.exit(2);
}
const rows = positionals.flatMap((file) => JSON.parse(readFileSync(file, "utf8")));

const PANEL = { width: 380, height: 260, left: 62, right: 26, top: 34, bottom: 44 };

function scale(kind, from, to, start, end) {
  const of = kind === "log" ? Math.log10 : (value) => value;
  return (value) => start + ((of(value) - of(from)) / (of(to) - of(from))) * (end - start);
}

const text = (x, y, content, more = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${content}</text>`;

/** One diagram: axes with ticks, and series of points. */
function panel({ title, x, y, series }, offset) {
  const { width, height, left, right, top, bottom } = PANEL;
  const toX = scale(x.kind, x.ticks[0], x.ticks.at(-1), offset + left, offset + width - right);
  const toY = scale(y.kind, y.ticks[0], y.ticks.at(-1), height - bottom, top);
  const parts = [text(offset + left, 20, title, 'font-weight="bold"')];
  for (const tick of x.ticks) {
    const at = toX(tick);
    parts.push(`<path d="M${at.toFixed(1)} ${top}V${height - bottom}" stroke="#ddd"/>`);
    parts.push(text(at, height - bottom + 16, tick.toLocaleString("en"), 'text-anchor="middle"'));
  }
  for (const tick of y.ticks) {
    const at = toY(tick);
    parts.push(`<path d="M${offset + left} ${at.toFixed(1)}H${offset + width - right}" stroke="#ddd"/>`);
    parts.push(text(offset + left - 6, at + 4, tick.toLocaleString("en"), 'text-anchor="end"'));
  }
  parts.push(text(offset + left + (width - left - right) / 2, height - 8, x.label, 'text-anchor="middle"'));
  const clamp = (value) => Math.min(Math.max(value, y.ticks[0]), y.ticks.at(-1));
  for (const { points, colour, dashed, marks } of series.filter(({ points }) => points.length > 0)) {
    const line = points.map(([px, py]) => `${toX(px).toFixed(1)} ${toY(clamp(py)).toFixed(1)}`).join("L");
    parts.push(
      `<path d="M${line}" fill="none" stroke="${colour}" stroke-width="2" ${dashed ? 'stroke-dasharray="5 4"' : ""}/>`,
    );
    for (const [px, py] of marks === false ? [] : points) {
      parts.push(
        `<circle cx="${toX(px).toFixed(1)}" cy="${toY(clamp(py)).toFixed(1)}" r="3" fill="${colour}"/>`,
      );
    }
  }
  return parts.join("\n");
}

/** A picture of panels side by side with one legend below. */
function picture(name, panels, legend) {
  const width = PANEL.width * panels.length;
  const columns = panels.length > 1 ? 2 : 1;
  const height = PANEL.height + 16 * Math.ceil(legend.length / columns) + 10;
  const keys = legend.map(({ label, colour, dashed }, index) => {
    const at = [
      16 + (index % columns) * (width / columns),
      PANEL.height + 10 + 16 * Math.floor(index / columns),
    ];
    const stroke = `stroke="${colour}" stroke-width="2" ${dashed ? 'stroke-dasharray="5 4"' : ""}`;
    return `<path d="M${at[0]} ${at[1] - 4}h24" ${stroke}/>${text(at[0] + 30, at[1], label)}`;
  });
  const body = panels.map((each, index) => panel(each, index * PANEL.width));
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="#222">`,
    `<title>${panels.map((each) => each.title).join("; ")}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...body,
    ...keys,
    "</svg>\n",
  ].join("\n");
  const file = join(values.out, name);
  writeFileSync(file, svg);
  console.log(file);
}

const named = values.scenario.split(",");
const scenarios = named.filter((name) => rows.some((row) => row.scenario === name));
if (scenarios.length === 0) {
  console.error(
    `no rows of ${named.join(" or ")}; there are ${[...new Set(rows.map((row) => row.scenario))]}`,
  );
  process.exit(1);
}
const of = (scenario, way = WAYS[0]) =>
  rows
    .filter((row) => row.scenario === scenario && wayOf(row) === way)
    .toSorted((a, b) => a.viewers - b.viewers);
const drawn = rows.filter((row) => named.includes(row.scenario));
const counts = [...new Set(drawn.map((row) => row.viewers))].sort((a, b) => a - b);
const most = Math.max(10, ...drawn.map((row) => row.originCopiesBesideStart));
const decades = [1, 10, 100, 1000, 10000].filter((tick) => tick < most * 10);
const x = { kind: "log", ticks: counts, label: "viewers at once" };
const ways = WAYS.filter((way) => scenarios.some((scenario) => of(scenario, way).length > 0));
const legend = ways.map(({ name, colour }) => ({ label: name, colour }));
const groups = { label: "bound: groups that can reach each other", colour: "#777", dashed: true };
const uplinks = { label: "upload-bound: mean uplink / bitrate", colour: "#b8860b", dashed: true };
const bound = (scenario, { colour, dashed }, value) => ({
  colour,
  dashed,
  points: of(scenario).map((row) => [row.viewers, value(row)]),
  marks: false,
});
const lines = (scenario, value) =>
  ways.map((way) => ({
    colour: way.colour,
    points: of(scenario, way).map((row) => [row.viewers, value(row)]),
  }));

picture(
  "simulator-ratio.svg",
  scenarios.map((scenario) => ({
    title: `${scenario}: offload of the origin`,
    x,
    y: { kind: "linear", ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] },
    series: [
      bound(scenario, groups, (row) => row.reachable),
      bound(scenario, uplinks, (row) => row.uploadBound),
      ...lines(scenario, (row) => row.offload ?? row.p2pRatio),
    ],
  })),
  [...legend, groups, uplinks],
);

picture(
  "simulator-copies.svg",
  scenarios.map((scenario) => ({
    title: `${scenario}: origin copies beside start-up`,
    x,
    y: { kind: "log", ticks: decades },
    series: [
      bound(scenario, groups, (row) => row.reachableCopies),
      ...lines(scenario, (row) => row.originCopiesBesideStart),
    ],
  })),
  [...legend, { ...groups, label: "bound: one copy for each group that can reach each other" }],
);

const live = scenarios.filter((scenario) => of(scenario).some((row) => row.reachQuantilesMs.length > 0));
const shades = ["#0b6e4f", "#c8553d", "#5b5f97", "#b8860b"];
if (live.length > 0) {
  picture(
    "simulator-reach.svg",
    live.map((scenario) => ({
      title: `${scenario}: share of viewers a segment has reached`,
      x: {
        kind: "linear",
        ticks: [0, 1, 2, 3, 4, 5, 6, 7, 8],
        label: "seconds after it appears at the origin",
      },
      y: { kind: "linear", ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] },
      series: of(scenario).map((row) => ({
        colour: shades[counts.indexOf(row.viewers) % shades.length],
        marks: false,
        points: row.reachQuantilesMs.map((ms, index, all) => [
          Math.min(ms / 1000, 8),
          index / (all.length - 1),
        ]),
      })),
    })),
    counts.map((count, index) => ({
      label: `${count.toLocaleString("en")} viewers`,
      colour: shades[index % shades.length],
    })),
  );
}
