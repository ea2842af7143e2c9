// The tarball that users would install, in the projects that they have.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cleanUp, makeProject, open, pack, page, serve } from "./project.mjs";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

after(cleanUp);

async function withProject(files, use) {
  const project = await makeProject(files);
  try {
    await use(project.folder);
  } finally {
    project.remove();
  }
}

async function assertRuns(url) {
  const { title, wasm, log } = await open(url);
  assert.match(title, new RegExp(`^ready ${version.replaceAll(".", "\\.")} running -HS`), log.join("\n"));
  assert.deepEqual(wasm, [200], "the engine is loaded, once");
}

test("the tarball holds what is needed and nothing else", async () => {
  const { files } = await pack();
  for (const needed of [
    "dist/hls.js",
    "dist/hls.d.ts",
    "dist/index.js",
    "dist/index.d.ts",
    "dist/hlswarm_bg.wasm",
    "dist/hlswarm-full_bg.wasm",
  ]) {
    assert.ok(files.includes(needed), needed);
  }
  const strange = files.filter(
    (file) =>
      !/^(dist\/.*\.(js|js\.map|d\.ts|wasm)|dist\/sizes\.json|[A-Z-]+(\.md)?|package\.json)$/.test(file),
  );
  assert.deepEqual(strange, []);
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(dependencies, undefined);
});

test("a plain web server", async () => {
  const imports = {
    "hls.js": "/node_modules/hls.js/dist/hls.mjs",
    hlswarm: "/node_modules/hlswarm/dist/index.js",
    "hlswarm/hls": "/node_modules/hlswarm/dist/hls.js",
  };
  const map = `<script type="importmap">${JSON.stringify({ imports })}</script>\n<script`;
  await withProject({ ...page, "index.html": page["index.html"].replace("<script", map) }, async (folder) => {
    const server = await serve(folder);
    await assertRuns(server.url);
    await server.close();
  });
});

test("Vite, built", async () => {
  const { build } = await import("vite");
  await withProject(page, async (folder) => {
    await build({ root: folder, configFile: false, logLevel: "error" });
    const server = await serve(join(folder, "dist"));
    await assertRuns(server.url);
    await server.close();
  });
});

test("Vite's development server, with its defaults", async () => {
  const { createServer } = await import("vite");
  await withProject(page, async (folder) => {
    const server = await createServer({ root: folder, configFile: false, logLevel: "error" });
    await server.listen(0);
    const [url] = server.resolvedUrls.local;
    await assertRuns(url);
    await server.close();
  });
});

test("webpack", async () => {
  const { default: webpack } = await import("webpack");
  await withProject(page, async (folder) => {
    const compiler = webpack({
      mode: "production",
      context: folder,
      entry: "./main.js",
      output: { path: join(folder, "out"), filename: "main.js", publicPath: "auto" },
      performance: false,
    });
    const stats = await promisify(compiler.run.bind(compiler))();
    assert.deepEqual(stats.toJson().errors, []);
    assert.deepEqual(stats.toJson().warnings, []);
    const server = await serve(join(folder, "out"));
    const html = `<!doctype html><title>loading</title><script src="main.js"></script>`;
    await promisify((await import("node:fs")).writeFile)(join(folder, "out", "index.html"), html);
    await assertRuns(server.url);
    await server.close();
  });
});

test("importing under Node does nothing and breaks nothing", async () => {
  const script = `import { attachP2P } from "hlswarm/hls";
import { hlsPresets, init, version } from "hlswarm";
try { attachP2P(undefined); } catch (error) { console.log(version, typeof init, Object.keys(hlsPresets).join(), error.name); }
`;
  await withProject({ "ssr.js": script }, async (folder) => {
    const { stdout, stderr } = await run(process.execPath, ["ssr.js"], { cwd: folder });
    assert.equal(stdout, `${version} function vod,live TypeError\n`);
    assert.equal(stderr, "");
  });
});

for (const [resolution, module] of [
  ["bundler", "esnext"],
  ["nodenext", "nodenext"],
]) {
  test(`TypeScript finds the types (${resolution})`, async () => {
    const program = `import Hls from "hls.js";
import { attachP2P, type P2P } from "hlswarm/hls";
import { hlsPresets, init, type Stats } from "hlswarm";
await init();
await init(undefined, { signed: true });
const p2p: P2P = attachP2P(new Hls(hlsPresets.live), { loader: { trackerAnnounce: [], segmentValidator: () => true } });
const off: () => void = p2p.on("segmentLoaded", ({ key, p2pBytes }) => console.log(key.sequence + p2pBytes));
const { peers }: Stats = p2p.stats();
// @ts-expect-error there is no such event
p2p.on("nonsense", () => peers);
// @ts-expect-error a text is no number
attachP2P(new Hls(), { loader: { cacheBytes: "5" } });
off();
`;
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: "es2022",
      module,
      moduleResolution: resolution,
      lib: ["es2022", "dom"],
      types: [],
      skipLibCheck: false,
    };
    const files = {
      "main.ts": program,
      "tsconfig.json": JSON.stringify({ compilerOptions, files: ["main.ts"] }),
    };
    await withProject(files, async (folder) => {
      const { stdout } = await run(join(root, "node_modules", ".bin", "tsc"), ["--project", folder]).catch(
        (error) => error,
      );
      assert.equal(stdout, "");
    });
  });
}
