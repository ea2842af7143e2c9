// The demo's page in real browsers: it plays, shares and shows it.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { startDemo } from "../../scripts/lib/demo.mjs";
import { at } from "../../scripts/lib/run.mjs";
import { launchChromium } from "../../tests/browser/harness/chromium.mjs";
import { checkBuffers } from "../../tests/browser/harness/truth.mjs";

const patience = { timeout: 120_000 };
let demo;
let browser;

before(async () => {
  const target = process.env.CARGO_TARGET_DIR ?? at("target");
  const tracker = process.env.HLSWARM_TRACKER ?? path.join(target, "release", "hlswarm-tracker");
  demo = await startDemo({ tracker, port: 0, host: "127.0.0.1" });
  browser = await launchChromium();
}, patience);
after(async () => {
  await browser?.close();
  await demo?.close();
});

async function open(query) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto(`${demo.url}?prove&${query}`);
  return page;
}

/** Waits for a condition in the page. */
const until = (page, condition) => page.waitForFunction(condition, undefined, { ...patience, polling: 250 });

for (const stream of ["vod", "live"]) {
  test(`two windows of the demo share the ${stream} stream and say so`, { timeout: 400_000 }, async () => {
    const first = await open(`stream=${stream}`);
    await until(first, () => window.demo?.video.currentTime > 1);
    const second = await open(`stream=${stream}`);
    await until(second, () => window.demo?.video.currentTime > 1 && window.demo.p2p.stats().p2pBytes > 0);
    // The page shows it with its next tick.
    await until(second, () => Number.parseInt(document.getElementById("share").textContent, 10) > 0);
    await until(second, () => document.querySelectorAll("#peers tr").length === 1);
    await until(second, () => document.querySelector("#segments .p2p, #segments .mixed"));
    await until(first, () => document.getElementById("upload").textContent !== "0 B");
    await until(first, () => document.getElementById("copies").textContent !== "–");
    const reports = await Promise.all(
      [first, second].map((page) => page.evaluate(() => window.proof.report())),
    );
    const { checked, wrong } = await checkBuffers(reports, demo.origin.bytesAt);
    assert.deepEqual(wrong, []);
    assert.ok(checked > 1);
    assert.deepEqual(
      reports.flatMap((report) => report.errors),
      [],
    );

    await second.uncheck("#p2p");
    await until(second, () => document.getElementById("status").textContent === "playing over HTTP alone");
    await until(first, () => document.querySelectorAll("#peers tr").length === 0);
    await Promise.all([first, second].map((page) => page.context().close()));
  });
}
