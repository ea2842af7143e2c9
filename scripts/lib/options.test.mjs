import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { at } from "./run.mjs";

const script = `
  import { commandLine } from ${JSON.stringify(`file://${at("scripts/lib/options.mjs")}`)};
  const { values, whole, number, list } = commandLine("npm run it -- [options]", {
    runs: { default: "3", help: "how often" },
    modes: { default: "a,b", help: "which" },
    rate: { default: "Infinity", help: "how fast" },
    out: { help: "where to" },
    verbose: { default: false, help: "say more" },
  });
  console.log(JSON.stringify({ ...values, runs: whole("runs", 1, 9), modes: list("modes", ["a", "b"]), fast: number("rate") > 1 }));
`;
const run = (...args) =>
  spawnSync(process.execPath, ["--input-type=module", "-e", script, "--", ...args], { encoding: "utf8" });

test("options are read, and have defaults", () => {
  const { stdout, status } = run("--modes", "b", "--verbose");
  assert.equal(status, 0);
  const { help, ...values } = JSON.parse(stdout);
  assert.equal(help, false);
  assert.deepEqual(values, { runs: 3, modes: ["b"], rate: "Infinity", verbose: true, fast: true });
});

test("help tells every option and its default", () => {
  const { stdout, status } = run("--help");
  assert.equal(status, 0);
  for (const line of ["npm run it", "--runs VALUE", "how often (default: 3)", "--verbose", "--out VALUE"])
    assert.ok(stdout.includes(line), `${line} in ${stdout}`);
});

test("what is wrong is said in one line that names what is allowed", () => {
  for (const [args, ...expected] of [
    [["--runs", "0"], '--runs "0"', "a whole number from 1 to 9"],
    [["--runs", "x"], '--runs "x"'],
    [["--rate", ""], '--rate ""', "a number from 0"],
    [["--rate=-1"], '--rate "-1"', "a number from 0"],
    [["--modes", "a,c"], '--modes "c"', "allowed are a, b"],
    [["--what"], "--what", "--modes"],
    [["--runs"], "--runs"],
    [["surplus"], "surplus"],
  ]) {
    const { stderr, stdout, status } = run(...args);
    assert.equal(status, 2, args.join(" "));
    assert.equal(stdout, "");
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    for (const part of expected) assert.ok(stderr.includes(part), `${part} in ${stderr}`);
  }
});
