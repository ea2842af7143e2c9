// What checking bytes costs a page: hashing blocks of 64 KiB as the shell does it, in a real Chromium.
//
// node bench/hashing.mjs [--rounds N]
//
// "main thread" is what the page cannot do anything else in: putting a block together from the chunks that arrived, and
// calling WebCrypto, which may hash in the call or elsewhere. The best round counts: others were disturbed.
import { parseArgs } from "node:util";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "30" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) {
  console.error(`--rounds ${values.rounds} is not allowed; allowed is 1 to 1000`);
  process.exit(2);
}

/** Runs in the page. */
async function measure(rounds) {
  const BLOCK = 65_536;
  const CHUNK = 16_384;
  const BLOCKS = 16;
  const chunks = Array.from({ length: BLOCK / CHUNK }, (_, i) => new Uint8Array(CHUNK).fill(i));
  const block = () => {
    const bytes = new Uint8Array(BLOCK);
    for (const [i, chunk] of chunks.entries()) bytes.set(chunk, i * CHUNK);
    return bytes;
  };
  const best = { mainMs: Infinity, wholeMs: Infinity };
  for (let round = 0; round < rounds; round++) {
    const startedMs = performance.now();
    let mainMs = 0;
    const digests = [];
    for (let i = 0; i < BLOCKS; i++) {
      const beganMs = performance.now();
      digests.push(crypto.subtle.digest("SHA-256", block()));
      mainMs += performance.now() - beganMs;
    }
    await Promise.all(digests);
    best.mainMs = Math.min(best.mainMs, mainMs);
    best.wholeMs = Math.min(best.wholeMs, performance.now() - startedMs);
  }
  return best;
}

const pages = await startPages();
const browser = await launchChromium();
try {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${pages.url}/page/viewer.html`);
  const { mainMs, wholeMs } = await page.evaluate(measure, rounds);
  // At 8 Mbit/s a megabyte (2^20 bytes) comes every 1.05 s.
  const everyMs = (2 ** 20 * 8) / 8000;
  const share = (ms) => `${((100 * ms) / everyMs).toFixed(2)} % of a core at 8 Mbit/s`;
  console.log(`main thread: ${mainMs.toFixed(2)} ms for 1 MB, ${share(mainMs)}`);
  console.log(`until all digests are there: ${wholeMs.toFixed(2)} ms for 1 MB, at most ${share(wholeMs)}`);
} finally {
  await browser.close();
  await pages.close();
}
