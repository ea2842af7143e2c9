// npm test [-- STAGE...]: sets up what is missing and runs all tests, or only those of the stages named.

import { readFileSync } from "node:fs";
import { buildPackage, buildSigner, buildTracker, testFiles } from "./lib/build.mjs";
import { countTests } from "./lib/counts.mjs";
import { at, duration, exitOnProblem, Problem, run } from "./lib/run.mjs";
import { setUp } from "./lib/setup.mjs";

const cargo = (...args) => ({ command: "cargo", args });
const bin = (name, ...args) => ({ command: at("node_modules", ".bin", name), args });
const nodeTests = (files, { atOnce = 1 } = {}) => ({
  command: process.execPath,
  args: ["--test", `--test-concurrency=${atOnce}`, "--test-reporter=spec", ...files],
});

/** Clippy for the code that only exists in the browser. */
function clippyForWasm() {
  const { way } = JSON.parse(readFileSync(at(".cache", "wasm-toolchain.json"), "utf8"));
  // Clippy is of the installed toolchain and cannot use the library of Debian's compiler, which has just built the code.
  if (way === "debian") return [];
  const target = ["--lib", "--no-default-features", "--target", "wasm32-unknown-unknown"];
  return [cargo("clippy", "--locked", ...target, "--", "-D", "warnings")];
}

/**
 * The stages. `steps` are commands; those that run tests print counts, which are summed; any that fails without having
 * counted a failure counts as one.
 */
const stages = {
  build: {
    what: "npm package and its size budget",
    needs: ["rust", "npm", "wasm"],
    prepare: buildPackage,
    steps: () => [],
  },
  lint: {
    what: "formatting, lints",
    needs: ["rust", "npm", "wasm"],
    // The declarations of the engine's glue are made with it.
    after: ["build"],
    steps: () => [
      cargo("fmt", "--all", "--check"),
      cargo("fmt", "--check", "--manifest-path", at("scripts", "wasm-bindgen", "Cargo.toml")),
      cargo("fmt", "--check", "--manifest-path", at("fuzz", "Cargo.toml")),
      bin("biome", "ci", `--colors=${process.stdout.isTTY ? "force" : "off"}`, "."),
      cargo("clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"),
      ...clippyForWasm(),
    ],
  },
  rust: {
    what: "engine and tracker",
    needs: ["rust"],
    counts: true,
    steps: () => [cargo("test", "--locked", "--workspace", "--exclude", "hlswarm-sim")],
  },
  sim: {
    what: "simulated swarms",
    needs: ["rust"],
    counts: true,
    steps: () => [cargo("test", "--locked", "--release", "-p", "hlswarm-sim")],
  },
  fuzz: {
    what: "a few seconds of fuzzing for everything that strangers send",
    needs: ["rust", "cxx"],
    steps: () => [{ command: at("fuzz", "run.sh"), args: ["all", "3"], env: { HLSWARM_FUZZ_SEED: "1" } }],
  },
  js: {
    what: "TypeScript and helpers",
    needs: ["npm", "ffmpeg"],
    counts: true,
    steps: () => [nodeTests([...testFiles("js"), ...testFiles("tests/support"), ...testFiles("scripts")])],
  },
  packaging: {
    what: "the package in bundlers and without",
    needs: ["npm", "chromium"],
    after: ["build"],
    counts: true,
    steps: () => [nodeTests(testFiles("tests/packaging"))],
  },
  tracker: {
    what: "the tracker with foreign clients, several as one, and Prometheus",
    needs: ["rust", "npm", "nats", "prometheus"],
    counts: true,
    prepare: buildTracker,
    steps: () => [nodeTests(testFiles("tests/tracker"))],
  },
  browser: {
    what: "real browsers",
    needs: ["rust", "npm", "chromium", "ffmpeg", "turn", "nats"],
    after: ["build"],
    counts: true,
    prepare: async () => {
      await buildTracker();
      await buildSigner();
    },
    // Most of the time they wait for films to play. More than two browsers starve each other on a small machine.
    steps: () => [nodeTests([...testFiles("tests/browser"), ...testFiles("examples")], { atOnce: 2 })],
  },
};

/** Longer than any stage takes on a slow machine: a stage that hangs must not hang everything. */
const stageTimeoutMs = 40 * 60_000;

async function runStage(name) {
  const { what, steps, prepare, counts } = stages[name];
  console.log(`\n=== ${name}: ${what}`);
  const startedMs = performance.now();
  let passed = 0;
  let failed = 0;
  try {
    await prepare?.();
    for (const { command, args, env } of steps()) {
      const result = await run(command, args, { env, timeoutMs: stageTimeoutMs });
      const found = counts ? countTests(result.output) : { passed: 0, failed: 0 };
      passed += found.passed;
      failed += found.failed;
      if (!result.ok && found.failed === 0) failed++;
      if (!result.ok) console.error(`${name}: \`${[command, ...args].join(" ")}\` ended with ${result.code}`);
    }
    if (counts && passed + failed === 0) {
      console.error(`${name}: not a single test ran`);
      failed++;
    }
  } catch (error) {
    console.error(`${name}: ${error instanceof Problem ? error.message : error.stack}`);
    failed++;
  }
  return { name, passed, failed, counts, ms: performance.now() - startedMs };
}

async function main(asked) {
  const unknown = asked.filter((name) => !stages[name]);
  if (unknown.length) {
    throw new Problem(`no stage ${unknown.join(", ")}: there are ${Object.keys(stages).join(", ")}`);
  }
  // What a stage builds on comes along, in the order of the table.
  const wanted = new Set(
    asked.length ? asked.flatMap((name) => [name, ...(stages[name].after ?? [])]) : Object.keys(stages),
  );
  const chosen = Object.keys(stages).filter((name) => wanted.has(name));
  await setUp([...new Set(chosen.flatMap((name) => stages[name].needs))]);
  const results = [];
  for (const name of chosen) results.push(await runStage(name));

  console.log("");
  for (const { name, passed, failed, counts, ms } of results) {
    const outcome = failed ? "FAILED" : "ok";
    const detail = counts ? `${passed} passed, ${failed} failed` : "";
    console.log(`${name.padEnd(10)} ${outcome.padEnd(7)} ${duration(ms).padStart(12)}  ${detail}`.trimEnd());
  }
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  console.log(`\n${sum("passed")} passed, ${sum("failed")} failed`);
  process.exitCode = sum("failed") ? 1 : 0;
}

main(process.argv.slice(2)).catch(exitOnProblem("test"));
