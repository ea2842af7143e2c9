// Runs what docs/simulator.md shows and writes its tables and pictures: npm run sim:figures [-- OPTIONS]
//
// Each row is a run of the simulator of its own and is kept in docs/simulator.json as soon as it is there, so that a
// run that was broken off can go on.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { at, exitOnProblem, Problem, run } from "./lib/run.mjs";
import { fill, isBrokenOff, keyOf, missing, slim, TABLES, tableOf } from "./lib/sim-tables.mjs";

const HELP = `usage: npm run sim:figures -- [options]

  --table NAME,...    only these tables (default: all): ${Object.keys(TABLES).join(", ")}
  --most-viewers N    leave out rows with more viewers
  --missing           run only what is not in docs/simulator.json yet
  --draw              run nothing, write tables and pictures of what is there
  --threads N         threads for each run (default 2)
`;

async function main() {
  const { values } = parseArgs({
    options: {
      table: { type: "string", default: Object.keys(TABLES).join(",") },
      "most-viewers": { type: "string", default: "10000" },
      missing: { type: "boolean", default: false },
      draw: { type: "boolean", default: false },
      threads: { type: "string", default: "2" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const names = values.table.split(",");
  for (const name of names) {
    if (!TABLES[name]) {
      throw new Problem(`--table ${name}: allowed are ${Object.keys(TABLES).join(", ")}`);
    }
  }
  const most = Number(values["most-viewers"]);
  if (!(most >= 1)) throw new Problem(`--most-viewers ${values["most-viewers"]}: allowed is 1 or more`);
  const file = at("docs", "simulator.json");
  const rows = JSON.parse(readFileSync(file, "utf8"));
  if (!values.draw) {
    await build();
    // Two tables may show the same row.
    const runs = new Map(names.flatMap((name) => TABLES[name].runs).map((each) => [keyOf(each), each]));
    const wanted = [...runs.values()].filter((each) => each.viewers <= most);
    for (const each of values.missing ? missing(wanted, rows) : wanted) {
      const whole = await simulate(each, values.threads);
      if (isBrokenOff(whole)) {
        // Half a run says nothing beside whole ones.
        console.error(`left out: it ended after ${whole.endedS} of ${whole.lengthS} s`);
        continue;
      }
      const row = slim(whole);
      const place = rows.findIndex((other) => keyOf(other) === keyOf(row));
      if (place < 0) rows.push(row);
      else rows[place] = row;
      rows.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      // A row a line, so that a change of one row is a change of one line.
      writeFileSync(file, `[\n${rows.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`);
    }
  }
  const page = at("docs", "simulator.md");
  let text = readFileSync(page, "utf8");
  for (const name of Object.keys(TABLES)) text = fill(text, name, tableOf(name, rows));
  writeFileSync(page, text);
  const drawn = await run(process.execPath, [at("scripts", "plot-sim.mjs"), file]);
  if (!drawn.ok) throw new Problem("the pictures could not be drawn");
}

async function build() {
  const built = await run("cargo", ["build", "--profile", "sim", "--locked", "-p", "hlswarm-sim"]);
  if (!built.ok) throw new Problem("the simulator could not be built");
}

/** Runs one row. What it asserts may fail: the table shows by how much. */
async function simulate({ scenario, viewers, options }, threads) {
  const folder = mkdtempSync(join(tmpdir(), "hlswarm-sim-"));
  const json = join(folder, "rows.json");
  const args = ["--scenario", scenario, "--viewers", String(viewers), "--threads", threads, "--json", json];
  const { code } = await run(at("target", "sim", "hlswarm-sim"), [...args, ...options]);
  if (code > 1) throw new Problem(`${scenario} with ${viewers} viewers could not be run`);
  const [row] = JSON.parse(readFileSync(json, "utf8"));
  rmSync(folder, { recursive: true });
  return row;
}

main().catch(exitOnProblem("sim:figures"));
