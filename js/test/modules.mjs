// Makes the package's inner modules importable by tests: they are TypeScript.
import { mkdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Imports a module of `js/` as it is, without the engine.
 *
 * @param {string} name its path below `js/`
 */
export async function load(name) {
  const outfile = `${root}.cache/js-test/${name.replace(/\.ts$/, ".mjs")}`;
  mkdirSync(`${root}.cache/js-test`, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: [`js/${name}`],
    outfile,
    bundle: true,
    format: "esm",
    logLevel: "error",
  });
  return import(pathToFileURL(outfile).href);
}

/** Lets everything happen that is only waiting for its turn. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}
