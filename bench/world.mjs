// What one pass of the benchmark needs: a browser, the server of the pages, and an origin with nothing else to do.
import path from "node:path";
import { launchChromium } from "../tests/browser/harness/chromium.mjs";
import { startPages } from "../tests/browser/harness/pages.mjs";
import { root } from "../tests/browser/harness/paths.mjs";
import { startTracker } from "../tests/browser/harness/tracker.mjs";
import { startOrigin } from "../tests/support/origin.mjs";
import { startReferenceTracker } from "./trackers.mjs";

const trackerOf = { p2pml: startReferenceTracker, hlswarm: startTracker };

/**
 * Starts a world.
 *
 * @param shape `{ latencyMs, bytesPerSecond }` of its origin
 * @returns `{ browser, pages, origin, close() }`
 */
export async function startWorld(shape) {
  const origin = await startOrigin({ dir: path.join(root, ".cache/media"), ...shape });
  const pages = await startPages();
  const browser = await launchChromium();
  return {
    browser,
    pages,
    origin,
    async close() {
      await browser.close();
      await Promise.all([pages.close(), origin.close()]);
    },
  };
}

/** Starts the tracker that the viewers of a mode meet at; `{ urls, close() }`. */
export async function startTrackerOf(mode) {
  const tracker = await trackerOf[mode]?.();
  return { urls: tracker ? [tracker.url] : [], close: async () => tracker?.close() };
}

/** Holds back each of `count` parties until all have come. */
export function barrier(count) {
  let open;
  const all = new Promise((resolve) => (open = resolve));
  let left = count;
  return () => {
    if (--left <= 0) open();
    return all;
  };
}
