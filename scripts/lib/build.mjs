// Builds what the commands run, and only when its sources have changed.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { at, Problem, run } from "./run.mjs";

/** What goes into the npm package. */
const packageSources = [
  "src",
  "js",
  "Cargo.toml",
  "Cargo.lock",
  "package.json",
  "package-lock.json",
  "scripts/build.mjs",
  "size-budget.json",
  ".cache/wasm-toolchain.json",
];
const stamp = at(".cache", "package-built");

/** The npm package in `dist/`. */
export async function buildPackage() {
  const wanted = fingerprint(packageSources);
  const there = existsSync(at("dist", "hls.js")) && existsSync(stamp);
  if (there && readFileSync(stamp, "utf8") === wanted) {
    console.log("build: the npm package is up to date");
    return;
  }
  console.log("build: the npm package");
  const { ok } = await run(process.execPath, [at("scripts", "build.mjs")]);
  if (!ok) throw new Problem("the npm package could not be built, see above");
  writeFileSync(stamp, fingerprint(packageSources));
}

/** The tracker's program. @returns its path */
export async function buildTracker() {
  console.log("build: the tracker");
  const { ok } = await run("cargo", ["build", "--release", "--locked", "--quiet", "-p", "hlswarm-tracker"]);
  if (!ok) throw new Problem("the tracker could not be built, see above");
  return path.join(process.env.CARGO_TARGET_DIR ?? at("target"), "release", "hlswarm-tracker");
}

/** The signer's program. @returns its path */
export async function buildSigner() {
  console.log("build: the signer");
  const { ok } = await run("cargo", ["build", "--release", "--locked", "--quiet", "-p", "hlswarm-sign"]);
  if (!ok) throw new Problem("the signer could not be built, see above");
  return path.join(process.env.CARGO_TARGET_DIR ?? at("target"), "release", "hlswarm-sign");
}

function fingerprint(sources) {
  const hash = createHash("sha256");
  for (const source of sources) addTo(hash, at(source));
  return hash.digest("hex");
}

function addTo(hash, file) {
  if (!existsSync(file)) return;
  if (statSync(file).isDirectory()) {
    for (const name of readdirSync(file).sort()) addTo(hash, path.join(file, name));
    return;
  }
  hash.update(path.relative(at(), file)).update("\0").update(readFileSync(file));
}

/** Test files below a folder, in order. */
export function testFiles(folder) {
  if (!existsSync(at(folder))) return [];
  return readdirSync(at(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.test\.m?[jt]s$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !file.includes("node_modules"))
    .sort();
}
