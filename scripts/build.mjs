// Builds the npm package: the engine as WebAssembly (into pkg/) and the package itself (into dist/).
//
// node scripts/build.mjs [--no-wasm | --only-wasm]
//
// Needs what `npm run setup` installs. How the standard library for wasm32 is had on this machine stands in
// `.cache/wasm-toolchain.json`: { args: [for cargo], env: { variables }, wasmBindgen: path of the command }. Without
// that file, the installed toolchain and the `wasm-bindgen` on the path are used.

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { arrangeWasm } from "./lib/arrange-wasm.mjs";
import { shortenNames } from "./lib/shorten-names.mjs";
import { trapPanics } from "./lib/trap-panics.mjs";
import { trimGlue } from "./lib/trim-glue.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (...path) => join(root, ...path);
const bin = (name) => at("node_modules", ".bin", name);
const TARGET = "wasm32-unknown-unknown";
const PROFILE = "wasm";

/** The features that rustc's own default for the target has; wasm-opt must know of them. */
const WASM_FEATURES = [
  "bulk-memory",
  "bulk-memory-opt",
  "call-indirect-overlong",
  "multivalue",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "sign-ext",
];

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (error) fail(`${command} could not be started: ${error.message}. Run \`npm run setup\` first.`);
  if (status !== 0) fail(`${[command, ...args].join(" ")} ended with ${status}`);
}

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

function readJson(...path) {
  return JSON.parse(readFileSync(at(...path), "utf8"));
}

/** The engines: the usual one, and the one for pages with signed records or that also share with viewers of p2p-media-loader. */
const engines = [
  { glue: "hlswarm", file: "hlswarm_bg.wasm", features: [] },
  { glue: "hlswarm_full", file: "hlswarm-full_bg.wasm", features: ["interop", "signed", "words"] },
];

/** Compiles an engine, writes its glue and shrinks it. */
function buildWasm({ glue: name, features }) {
  const file = at(".cache", "wasm-toolchain.json");
  const toolchain = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  // Asking for `cdylib` here and not in Cargo.toml keeps link-time optimisation.
  run(
    "cargo",
    [
      "rustc",
      "--lib",
      "--profile",
      PROFILE,
      "--crate-type",
      "cdylib",
      "--no-default-features",
      ...features.flatMap((feature) => ["--features", feature]),
      "--target",
      TARGET,
      // A SHA-256 of a tenth of the size: it hashes records, and blocks only where there is neither WebCrypto nor a worker.
      "--config",
      `target.${TARGET}.rustflags=['--cfg', 'sha2_backend_soft="compact"']`,
      ...(toolchain.args ?? []),
      "--",
      // For trapPanics.
      "-Clink-arg=--emit-relocs",
    ],
    toolchain.env,
  );
  const targetDir = toolchain.env?.CARGO_TARGET_DIR ?? process.env.CARGO_TARGET_DIR ?? at("target");
  const compiled = join(targetDir, TARGET, PROFILE, "hlswarm.wasm");
  const trapped = join(targetDir, TARGET, PROFILE, "hlswarm-trapped.wasm");
  const { wasm: trapping, panics } = trapPanics(readFileSync(compiled));
  if (panics === 0) fail("no panicking function was found: have their names changed?");
  writeFileSync(trapped, trapping);
  run(toolchain.wasmBindgen ?? "wasm-bindgen", [
    trapped,
    "--target",
    "web",
    "--omit-default-module-path",
    "--out-name",
    name,
    "--out-dir",
    at("pkg"),
  ]);
  const wasm = at("pkg", `${name}_bg.wasm`);
  run(bin("wasm-opt"), [
    // The lowest KiB of memory is the far end of the stack: whoever comes there is about to trap.
    "--low-memory-unused",
    // What is inlined into a large function needs locals with large numbers, and looks like nothing else any more.
    "--one-caller-inline-max-function-size=30",
    // What it saves in instructions it costs in locals: the module becomes smaller, but not when compressed.
    "--skip-pass=local-cse",
    // Likewise with structures of blocks and ifs that give values.
    "--skip-pass=simplify-locals",
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--strip-debug",
    "--strip-producers",
    ...WASM_FEATURES.map((name) => `--enable-${name}`),
    wasm,
    "-o",
    wasm,
  ]);
  const glue = at("pkg", `${name}.js`);
  const short = shortenNames(readFileSync(wasm), readFileSync(glue, "utf8"));
  writeFileSync(wasm, arrangeWasm(short.wasm, brotliSize));
  writeFileSync(glue, trimGlue(short.glue));
}

/** Bundles the TypeScript, writes declarations, and puts the engine beside them. */
async function buildPackage() {
  const { build } = await import("esbuild");
  const dist = at("dist");
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  const options = {
    absWorkingDir: root,
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    chunkNames: "chunk-[hash]",
    minify: true,
    sourcemap: true,
    legalComments: "none",
    define: { HLSWARM_VERSION: JSON.stringify(readJson("package.json").version) },
    logLevel: "warning",
    metafile: true,
  };
  // What a page with a player loads is one file: two are larger together when compressed. The other entry has `init` from
  // there.
  const page = await build({ ...options, entryPoints: ["js/hls.ts"] });
  const helpers = await build({
    ...options,
    entryPoints: ["js/index.ts"],
    plugins: [
      {
        name: "init from hls.js",
        setup: (bundle) =>
          bundle.onResolve({ filter: /^\.\/init\.js$/ }, () => ({ path: "./hls.js", external: true })),
      },
    ],
  });
  run(bin("tsc"), ["--project", "js/tsconfig.json", "--noEmit", "false", "--emitDeclarationOnly"]);
  for (const { glue, file } of engines) copyFileSync(at("pkg", `${glue}_bg.wasm`), join(dist, file));
  return { outputs: { ...page.metafile.outputs, ...helpers.metafile.outputs } };
}

/** Compares what is shipped with the budget. To grow it is a decision, made by editing the file. */
function checkSizes({ outputs }) {
  const budget = readJson("size-budget.json");
  const files = readdirSync(at("dist"));
  // What a page loads by all means counts apart from what it loads only when it asks for it.
  const has = (name, source) =>
    Object.keys(outputs[`dist/${name}`]?.inputs ?? {}).some((it) => it.startsWith(source));
  const js = files.filter((name) => name.endsWith(".js"));
  const full = js.filter((name) => has(name, "js/full-engine.ts"));
  const helpers = js.filter((name) => has(name, "js/index.ts"));
  const signed = js.filter((name) => has(name, "js/signed.ts") || has(name, "js/ed25519.ts"));
  const hashing = js.filter((name) => has(name, "js/hashing.ts"));
  const measured = {
    wasm: ["hlswarm_bg.wasm"],
    js: js.filter((name) => ![...full, ...helpers, ...signed, ...hashing].includes(name)),
    helpersJs: helpers,
    fullWasm: ["hlswarm-full_bg.wasm"],
    fullJs: full,
    signedJs: signed,
    hashingJs: hashing,
  };
  const report = {};
  let passed = true;
  for (const [kind, names] of Object.entries(measured)) {
    const plain = names.reduce((sum, name) => sum + statSync(at("dist", name)).size, 0);
    const brotli = names.reduce((sum, name) => sum + brotliSize(readFileSync(at("dist", name))), 0);
    const limit = budget[kind].brotliBytes;
    passed &&= brotli <= limit;
    report[kind] = { bytes: plain, brotliBytes: brotli, budgetBytes: limit };
    console.log(`${kind.padEnd(11)} ${plain} bytes, ${brotli} with brotli (budget ${limit})`);
  }
  writeFileSync(at("dist", "sizes.json"), `${JSON.stringify(report, null, "\t")}\n`);
  if (!passed) fail("a size is over the budget in size-budget.json");
}

function brotliSize(bytes) {
  return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
}

const flags = new Set(process.argv.slice(2));
if (!flags.has("--no-wasm")) engines.forEach(buildWasm);
if (!flags.has("--only-wasm")) checkSizes(await buildPackage());
