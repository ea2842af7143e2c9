// Gets everything ready that a benchmark in browsers needs: set-up, the npm package, the tracker.
import { buildPackage, buildTracker } from "./lib/build.mjs";
import { exitOnProblem } from "./lib/run.mjs";
import { setUp } from "./lib/setup.mjs";

async function prepare() {
  await setUp(["rust", "npm", "wasm", "chromium", "ffmpeg"]);
  await buildPackage();
  await buildTracker();
}

prepare().catch(exitOnProblem("prepare"));
