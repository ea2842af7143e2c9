// Everything that the two commands need and a fresh machine lacks. Each step first looks whether there is anything to
// do, says what it installs, and fails with one line that says what to do instead.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { natsServer } from "./nats.mjs";
import { at, duration, outputOf, Problem, run, which } from "./run.mjs";
import { ensureWasmTarget } from "./wasm-target.mjs";

const cache = at(".cache");
const say = (line) => console.log(`set-up: ${line}`);

/** Commands run with their output shown: installing takes minutes, and silence looks like a hang. */
async function must(command, args, why, options) {
  const { ok, code } = await run(command, args, options);
  if (!ok)
    throw new Problem(`${why} (\`${[path.basename(command), ...args].join(" ")}\` ended with ${code})`);
}

/**
 * Installs Debian packages: as root, or with a sudo that asks nothing.
 *
 * @param {string[]} packages
 * @param {string} instead what a person may do to get along without
 */
export async function installPackages(packages, instead) {
  const list = packages.join(" ");
  if (!which("apt-get")) {
    throw new Problem(
      `${list} is missing, and there is no apt-get: install it by your system's means, or ${instead}`,
    );
  }
  const root = process.getuid?.() === 0;
  if (!root && outputOf("sudo", ["-n", "true"]) === undefined) {
    throw new Problem(
      `${list} is missing, and only root may install it: run \`sudo apt-get install ${list}\`, or ${instead}`,
    );
  }
  const [command, first] = root
    ? ["apt-get", []]
    : ["sudo", ["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]];
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const install = [
    ...first,
    "-o",
    "DPkg::Lock::Timeout=300",
    "install",
    "-y",
    "--no-install-recommends",
    ...packages,
  ];
  say(`installing Debian packages: ${list}`);
  // A fresh machine has no package lists at all, an old one has stale lists.
  if ((await run(command, install, { env, quiet: true })).ok) return;
  say("reading the package lists anew");
  await run(command, [...first, "update"], { env, quiet: true });
  await must(command, install, `Debian packages ${list} could not be installed; without them: ${instead}`, {
    env,
    quiet: true,
  });
}

/** Cargo, its formatter and linter, and a linker. */
async function ensureRust() {
  if (!which("cargo")) throw new Problem("Rust is missing: install it with rustup, see https://rustup.rs");
  for (const [component, args] of [
    ["rustfmt", ["fmt", "--version"]],
    ["clippy", ["clippy", "--version"]],
  ]) {
    if (outputOf("cargo", args) !== undefined) continue;
    say(`adding the Rust component ${component}`);
    await must("rustup", ["component", "add", component], `${component} is missing and could not be added`);
  }
  if (!which("cc")) await installPackages(["gcc", "libc6-dev"], "put a C compiler named cc on the path");
}

/** libFuzzer, which the fuzz targets are linked with, is C++. */
async function ensureCxx() {
  if (!which(process.env.CXX || "c++"))
    await installPackages(["g++"], "put a C++ compiler named c++ on the path");
}

/** npm packages exactly as in the lock file, without running scripts of theirs: none of ours needs its own. */
async function ensureNpmPackages() {
  const stamp = path.join(cache, "npm-packages");
  const wanted = createHash("sha256")
    .update(readFileSync(at("package-lock.json")))
    .update(process.version)
    .digest("hex");
  const there = existsSync(at("node_modules", ".package-lock.json"));
  if (there && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("installing npm packages (npm ci)");
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  await must(
    command,
    [...first, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    "npm packages could not be installed; is the registry reachable?",
  );
  writeFileSync(stamp, wanted);
}

/** The version of a crate in a lock file. */
function lockedVersion(lockFile, crate) {
  const text = readFileSync(lockFile, "utf8");
  return new RegExp(`name = "${crate}"\nversion = "([^"]+)"`).exec(text)?.[1];
}

/** The command that writes the glue of the engine; it must be of the very version of the crate. */
async function ensureWasmBindgen() {
  const wanted = lockedVersion(at("Cargo.lock"), "wasm-bindgen");
  if (!wanted) throw new Problem("Cargo.lock names no version of wasm-bindgen");
  const installed = process.env.HLSWARM_WASM_BINDGEN === "own" ? undefined : which("wasm-bindgen");
  if (installed && outputOf(installed, ["--version"])?.split(" ")[1] === wanted) return installed;
  const own = path.join(cache, "tools", `wasm-bindgen-${wanted}`);
  if (existsSync(own)) return own;
  const manifest = at("scripts", "wasm-bindgen", "Cargo.toml");
  const ours = lockedVersion(at("scripts", "wasm-bindgen", "Cargo.lock"), "wasm-bindgen-cli-support");
  if (ours !== wanted) {
    throw new Problem(
      `scripts/wasm-bindgen is at ${ours}, the crate in Cargo.lock at ${wanted}: make them equal`,
    );
  }
  say(`building wasm-bindgen ${wanted} (about two minutes)`);
  const target = path.join(cache, "tools", "build");
  await must(
    "cargo",
    ["build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--target-dir", target],
    `wasm-bindgen could not be built; \`cargo install wasm-bindgen-cli --version ${wanted}\` does as well`,
  );
  for (const old of readdirSync(path.dirname(own))) {
    if (old.startsWith("wasm-bindgen-")) rmSync(path.join(path.dirname(own), old));
  }
  copyFileSync(path.join(target, "release", "hlswarm-wasm-bindgen"), own);
  rmSync(target, { recursive: true, force: true });
  return own;
}

/** A Chromium that starts. Its place goes into the variable CHROMIUM for everything that we run. */
async function ensureChromium() {
  const find = () =>
    [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
      .map(which)
      .find(Boolean);
  if (process.env.CHROMIUM && !which(process.env.CHROMIUM)) {
    throw new Problem(`CHROMIUM=${process.env.CHROMIUM} is not a program`);
  }
  if (!find()) await installPackages(["chromium"], "name a Chromium or Chrome in the variable CHROMIUM");
  process.env.CHROMIUM = find();
}

async function ensureFfmpeg() {
  const find = () => which(process.env.FFMPEG || "ffmpeg");
  if (process.env.FFMPEG && !find()) throw new Problem(`FFMPEG=${process.env.FFMPEG} is not a program`);
  if (!find()) await installPackages(["ffmpeg"], "name an ffmpeg with libx264 in the variable FFMPEG");
  process.env.FFMPEG = find();
}

/** A NATS server, for the tests of several trackers as one. Its place goes into the variable NATS_SERVER. */
async function ensureNats() {
  if (process.env.NATS_SERVER && !natsServer()) {
    throw new Problem(`NATS_SERVER=${process.env.NATS_SERVER} is not a program`);
  }
  if (!natsServer()) await installPackages(["nats-server"], "name a nats-server in the variable NATS_SERVER");
  process.env.NATS_SERVER = natsServer();
}

/** Some packages begin to serve the whole network at once, which nobody asked for. */
async function stopService(name) {
  if (!existsSync("/run/systemd/system")) return;
  const stop = ["systemctl", "disable", "--now", name];
  await run(...(process.getuid?.() === 0 ? [stop[0], stop.slice(1)] : ["sudo", ["-n", ...stop]]), {
    quiet: true,
  });
}

/** Prometheus and its promtool, which the tracker's rules and board are checked with. */
async function ensurePrometheus() {
  if (which("prometheus") && which("promtool")) return;
  await installPackages(["prometheus"], "put prometheus and promtool on the path");
  await stopService("prometheus");
}

/** A TURN server, which tests start on the loopback address. */
async function ensureTurnServer() {
  const find = () => which(process.env.TURNSERVER || "turnserver");
  if (process.env.TURNSERVER && !find())
    throw new Problem(`TURNSERVER=${process.env.TURNSERVER} is not a program`);
  if (!find()) {
    await installPackages(["coturn"], "name a coturn in the variable TURNSERVER");
    await stopService("coturn");
  }
  process.env.TURNSERVER = find();
}

/** What can be asked for, in the order in which it is set up. */
const steps = {
  rust: ensureRust,
  cxx: ensureCxx,
  npm: ensureNpmPackages,
  wasm: async () => {
    const toolchain = await ensureWasmTarget({ say, must, installPackages });
    const wasmBindgen = await ensureWasmBindgen();
    writeFileSync(
      path.join(cache, "wasm-toolchain.json"),
      `${JSON.stringify({ ...toolchain, wasmBindgen }, null, 2)}\n`,
    );
  },
  chromium: ensureChromium,
  ffmpeg: ensureFfmpeg,
  nats: ensureNats,
  prometheus: ensurePrometheus,
  turn: ensureTurnServer,
};

/**
 * Sets up what is asked for.
 *
 * @param {("rust" | "cxx" | "npm" | "wasm" | "chromium" | "ffmpeg" | "turn" | "nats" | "prometheus")[]} [needs]
 *   everything by default
 */
export async function setUp(needs = Object.keys(steps)) {
  const unknown = needs.filter((name) => !steps[name]);
  if (unknown.length)
    throw new Problem(`no step ${unknown.join(", ")}: there are ${Object.keys(steps).join(", ")}`);
  const startedMs = performance.now();
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Problem(`Node ${process.versions.node} is too old: 20.19 or newer is needed`);
  }
  mkdirSync(path.join(cache, "tools"), { recursive: true });
  for (const [name, step] of Object.entries(steps)) if (needs.includes(name)) await step();
  say(`ready (${duration(performance.now() - startedMs)})`);
}
