import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { at } from "./run.mjs";
import { fill, isBrokenOff, keyOf, missing, slim, TABLES, tableOf, WAYS, wayOf } from "./sim-tables.mjs";

/** A row as the simulator writes it, as far as it is looked at here. */
const row = (viewers, options, more = {}) => ({
  scenario: "vod-scale",
  viewers,
  options,
  p2pRatio: 0.912345678,
  offload: null,
  reachQuantilesMs: [],
  spread: null,
  stalls: 3,
  wastedBytes: 1,
  deliveredBytes: 8,
  ...more,
});

test("a row is found again by what it was run with", () => {
  const random = row(1000, ['loader.coordination="random"', "whole segments"]);
  assert.equal(wayOf(random).name, "random, whole segments");
  assert.equal(wayOf(row(10, [])), WAYS[0]);
  assert.throws(() => wayOf(row(10, ["loader.useP2P=false"])), /loader.useP2P=false/);
  const wanted = TABLES.coordination.runs;
  const left = missing(wanted, [slim(random)]);
  assert.equal(left.length, wanted.length - 1);
  assert.ok(!left.some((each) => keyOf(each) === keyOf(random)));
});

test("a table shows the rows that are there and goes to its place in the page", () => {
  const kept = slim(row(1000, []));
  assert.equal(kept.wasted, 0.125);
  assert.ok(!("deliveredBytes" in kept) && !("wallS" in kept));
  const compared = { checkShare: 0.01, deliveredBytes: 800, originBytes: 200, originCopies: 2 };
  assert.equal(slim(row(1000, [], compared)).comparedCopies, 0.08);
  const table = tableOf("scale", [kept]);
  assert.equal(table.split("\n").length, 3);
  assert.match(table, /^\| vod-scale \| 1,000 \| 0\.912 \| - \|/m);
  const page = "a\n<!-- sim: scale -->\nold\n<!-- /sim -->\nb\n<!-- sim: uplink -->\n<!-- /sim -->\n";
  assert.equal(fill(page, "scale", table), page.replace("old", table));
  assert.throws(() => fill(page, "crowds", table), /crowds/);
});

test("a run that an assertion ended is no row", () => {
  assert.ok(isBrokenOff({ endedS: 224.5, lengthS: 600 }));
  assert.ok(!isBrokenOff({ endedS: 600, lengthS: 600 }));
});

test("the page has a place for every table, and every scenario has a file", () => {
  const page = readFileSync(at("docs", "simulator.md"), "utf8");
  for (const [name, { runs }] of Object.entries(TABLES)) {
    assert.ok(page.includes(`<!-- sim: ${name} -->`), name);
    for (const { scenario } of runs)
      assert.ok(existsSync(at("tests/sim/scenarios", `${scenario}.toml`)), scenario);
  }
});
