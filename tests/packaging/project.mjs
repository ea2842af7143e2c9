// Throw-away projects that install the package as a user would, and a browser to open their pages in.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

/** The files of the page that every project has. It puts into its title what became of the engine. */
export const page = {
  "index.html": `<!doctype html>
<title>loading</title>
<video id="video" muted></video>
<script type="module" src="./main.js"></script>
`,
  "main.js": `import Hls from "hls.js";
import { hlsPresets, version } from "hlswarm";
import { attachP2P } from "hlswarm/hls";
const hls = new Hls({ ...hlsPresets.vod, enableWorker: false });
const p2p = attachP2P(hls, { loader: { useP2P: false } });
hls.loadSource("./none.m3u8");
p2p.ready.then(
  () => { document.title = ["ready", version, p2p.stats().state, p2p.stats().peerId].join(" "); },
  (error) => { document.title = "failed: " + error.message; },
);
`,
};

let packed;

/** The tarball that would be published, made once. */
export function pack() {
  packed ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), "hlswarm-pack-"));
    const { stdout } = await run(
      "npm",
      ["pack", "--json", "--ignore-scripts", "--pack-destination", folder],
      {
        cwd: root,
      },
    );
    // npm 11 prints a list, npm 12 an object by name.
    const [{ filename, files }] = Object.values(JSON.parse(stdout));
    return { folder, tarball: join(folder, filename), files: files.map(({ path }) => path) };
  })();
  return packed;
}

/**
 * A new project with the package and hls.js installed.
 *
 * @param {Record<string, string>} files what else is in it
 * @returns {Promise<{ folder: string, remove(): void }>} where it is
 */
export async function makeProject(files) {
  const { tarball } = await pack();
  const folder = mkdtempSync(join(tmpdir(), "hlswarm-project-"));
  const all = {
    "package.json": JSON.stringify({ name: "project", private: true, type: "module" }),
    ...files,
  };
  for (const [name, text] of Object.entries(all)) writeFileSync(join(folder, name), text);
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit=peer", "--offline"];
  await run("npm", ["install", ...flags, tarball], { cwd: folder });
  // A copy of what is here already, so that no test needs a registry.
  const from = join(root, "node_modules", "hls.js");
  const to = join(folder, "node_modules", "hls.js");
  mkdirSync(to, { recursive: true });
  for (const part of ["package.json", "dist"]) cpSync(join(from, part), join(to, part), { recursive: true });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const types = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** Serves a folder as any plain web server does. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const file = join(folder, normalize(pathname === "/" ? "/index.html" : pathname));
    try {
      if (!statSync(file).isFile()) throw new Error("not a file");
      response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
      response.end(readFileSync(file));
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let browser;

/** Opens a page and waits for what its title says in the end. */
export async function open(url) {
  browser ??= await chromium.launch({
    executablePath: process.env.HLSWARM_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: flags,
  });
  const tab = await browser.newPage();
  const wasm = [];
  const log = [];
  tab.on("response", (response) => {
    if (response.url().includes(".wasm")) wasm.push(response.status());
  });
  tab.on("console", (message) => log.push(message.text()));
  tab.on("pageerror", (error) => log.push(error.message));
  await tab.goto(url);
  await tab
    .waitForFunction(() => document.title !== "loading", undefined, { timeout: 60_000 })
    .catch((error) => {
      throw new Error(`${error.message}\n${log.join("\n")}`);
    });
  const title = await tab.title();
  await tab.close();
  return { title, wasm, log };
}

/** Ends the browser and removes the tarball. */
export async function cleanUp() {
  await browser?.close();
  if (packed) rmSync((await packed).folder, { recursive: true, force: true });
}
