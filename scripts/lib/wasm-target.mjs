// The standard library for wasm32-unknown-unknown, in one of three ways:
//
// 1. `installed`: the toolchain has it.
// 2. `rustup`: `rustup target add` fetches it.
// 3. `debian`: where rustup cannot be reached, Debian's own compiler and library sources build it. Cargo, and the linker
//    that Debian leaves out, are still those of the installed toolchain.
//
// The variable HLSWARM_WASM_TOOLCHAIN names one of them to force it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { at, outputOf, Problem, run } from "./run.mjs";

const target = "wasm32-unknown-unknown";
const debianRustc = "/usr/bin/rustc";
const debianLibrary = "/usr/lib/rustlib/src/rust/library/std";
const ways = ["installed", "rustup", "debian"];

/** @returns what the build needs to know: `{ way, env?, args? }`, see scripts/build.mjs */
export async function ensureWasmTarget(tools) {
  const forced = process.env.HLSWARM_WASM_TOOLCHAIN;
  if (forced && !ways.includes(forced)) {
    throw new Problem(`HLSWARM_WASM_TOOLCHAIN=${forced} is not one of ${ways.join(", ")}`);
  }
  if (forced !== "debian") {
    if (isInstalled()) return { way: "installed" };
    if (forced !== "installed" && (await addWithRustup(tools))) return { way: "rustup" };
    if (forced)
      throw new Problem(
        `the ${target} library is missing, and HLSWARM_WASM_TOOLCHAIN=${forced} allows no other way`,
      );
  }
  return useDebian(tools);
}

function isInstalled() {
  const sysroot = outputOf("rustc", ["--print", "sysroot"]);
  const folder = sysroot && path.join(sysroot, "lib", "rustlib", target, "lib");
  return Boolean(
    folder && existsSync(folder) && readdirSync(folder).some((name) => /^libstd-.*\.rlib$/.test(name)),
  );
}

async function addWithRustup({ say }) {
  if (outputOf("rustup", ["--version"]) === undefined) return false;
  say(`adding the Rust target ${target} (rustup)`);
  const { ok, output } = await run("rustup", ["target", "add", target], {
    env: { RUST_BACKTRACE: "0" },
    quiet: "always",
    timeoutMs: 300_000,
  });
  if (ok && isInstalled()) return true;
  const [, why = "it does not say why"] = /^error: ([^:]+)/m.exec(output) ?? [];
  say(`rustup cannot add it (${why}); Debian's compiler will do`);
  return false;
}

async function useDebian({ installPackages }) {
  const instead = `make \`rustup target add ${target}\` work`;
  if (!existsSync(debianRustc) || !existsSync(debianLibrary)) {
    await installPackages(["rustc-web", "rust-web-src"], instead);
  }
  const [, version] = /release: ([\d.]+)/.exec(outputOf(debianRustc, ["-vV"]) ?? "") ?? [];
  if (!version) throw new Problem(`${debianRustc} does not start; ${instead}`);
  const [, wanted] = /rust-version = "([\d.]+)"/.exec(readFileSync(at("Cargo.toml"), "utf8")) ?? [];
  if (compareVersions(version, wanted) < 0) {
    throw new Problem(
      `Debian's Rust is ${version}, the engine needs ${wanted}: add Debian's security archive, or ${instead}`,
    );
  }
  const sysroot = outputOf("rustc", ["--print", "sysroot"]) ?? "";
  const [, host] = /host: (\S+)/.exec(outputOf("rustc", ["-vV"]) ?? "") ?? [];
  const linker = path.join(sysroot, "lib", "rustlib", host ?? "", "bin", "rust-lld");
  if (!existsSync(linker)) throw new Problem(`the linker ${linker} is missing; ${instead}`);
  return {
    way: "debian",
    args: ["-Zbuild-std=std,panic_abort"],
    env: {
      RUSTC: debianRustc,
      // Building the library is a feature of nightly compilers; this says that we mean it.
      RUSTC_BOOTSTRAP: "1",
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
      // Apart from the other compiler's files.
      CARGO_TARGET_DIR: at("target", "wasm-debian"),
    },
  };
}

function compareVersions(a, b) {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x.map((part, i) => part - (y[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
}
