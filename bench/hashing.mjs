// What checking bytes costs a page: hashing blocks of 64 KiB as the shell does it, in a real Chromium, with WebCrypto and
// with the worker of pages that have none.
//
// node bench/hashing.mjs [--rounds N]
//
// "main thread" is what the page cannot do anything else in: putting a block together from the chunks that arrived, and
// calling WebCrypto, which may hash in the call or elsewhere, or giving it to the worker.
// The best round counts: others were disturbed.
import { build } from "esbuild";
import { commandLine } from "../scripts/lib/options.mjs";
import { at } from "../scripts/lib/run.mjs";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";

const rounds = commandLine("npm run bench:hashing -- [options]: what checking bytes costs a page", {
  rounds: { default: "30", help: "how often; the best counts" },
}).whole("rounds", 1, 1000);

/** Runs in the page; with the URL of a module, its worker hashes. */
async function measure({ rounds, hashing }) {
  const BLOCK = 65_536;
  const CHUNK = 16_384;
  const BLOCKS = 16;
  const chunks = Array.from({ length: BLOCK / CHUNK }, (_, i) => new Uint8Array(CHUNK).fill(i));
  const block = () => {
    const bytes = new Uint8Array(BLOCK);
    for (const [i, chunk] of chunks.entries()) bytes.set(chunk, i * CHUNK);
    return bytes;
  };
  const hasher = hashing && new (await import(hashing)).Hasher();
  const digest = (bytes) => (hasher ? hasher.digest(bytes) : crypto.subtle.digest("SHA-256", bytes));
  const times = { main: Infinity, whole: Infinity };
  for (let round = 0; round < rounds; round++) {
    const startedMs = performance.now();
    let mainMs = 0;
    const digests = [];
    for (let i = 0; i < BLOCKS; i++) {
      const beganMs = performance.now();
      digests.push(digest(block()));
      mainMs += performance.now() - beganMs;
    }
    await Promise.all(digests);
    times.main = Math.min(times.main, mainMs);
    times.whole = Math.min(times.whole, performance.now() - startedMs);
  }
  hasher?.close();
  return times;
}

const bundled = await build({
  absWorkingDir: at(),
  entryPoints: ["js/hashing.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  write: false,
});
const hashing = `data:text/javascript;base64,${Buffer.from(bundled.outputFiles[0].contents).toString("base64")}`;
const pages = await startPages();
const browser = await launchChromium();
try {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${pages.url}/page/viewer.html`);
  // At 8 Mbit/s a megabyte (2^20 bytes) comes every 1.05 s.
  const everyMs = (2 ** 20 * 8) / 8000;
  const cost = (ms) =>
    `${ms.toFixed(2)} ms for 1 MB, ${((100 * ms) / everyMs).toFixed(2)} % of a core at 8 Mbit/s`;
  for (const [name, source] of Object.entries({ WebCrypto: undefined, "a worker": hashing })) {
    const { main, whole } = await page.evaluate(measure, { rounds, hashing: source });
    console.log(`${name}: main thread ${cost(main)}; until all digests are there ${cost(whole)}`);
  }
} finally {
  await browser.close();
  await pages.close();
}
