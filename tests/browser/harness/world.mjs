// What a browser test needs: an origin, a tracker, a page server and a Chromium, and viewers to put into it.
import assert from "node:assert/strict";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { launchChromium } from "./chromium.mjs";
import { startPages } from "./pages.mjs";
import { checkBuffers } from "./truth.mjs";

const instrument = path.join(path.dirname(fileURLToPath(import.meta.url)), "page/instrument.js");

/** How long a condition may take to come true. Far above what it needs, for machines under load. */
const patienceMs = 60_000;

/**
 * Waits until `probe()` gives something true, and returns it.
 *
 * @param what for the error message
 */
export async function until(what, probe, { timeoutMs = patienceMs, everyMs = 100, explain } = {}) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) {
      const state = explain ? `\n${await explain()}` : "";
      throw new Error(`waited ${timeoutMs / 1000} s in vain until ${what}${state}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** One viewer: a browser context with the player page. */
export class Viewer {
  constructor(world, name, context, page) {
    Object.assign(this, { world, name, context, page });
  }

  /** Runs a function in the page. */
  eval(fn, argument) {
    return this.page.evaluate(fn, argument);
  }

  /** Starts playing; see `start` in `page/viewer.mjs`. */
  start(options) {
    return this.eval((given) => window.viewer.start(given), options);
  }

  /** A few numbers, cheap enough to poll. */
  status() {
    return this.eval(() => window.viewer.status());
  }

  /** Everything. */
  report() {
    return this.eval(() => window.viewer.report());
  }

  /** Waits until a function of `status()` is true. */
  until(what, test, options = {}) {
    return until(
      `${this.name} ${what}`,
      async () => {
        const status = await this.status();
        return test(status) ? status : undefined;
      },
      {
        explain: async () =>
          JSON.stringify({
            ...(await this.report()),
            buffers: undefined,
            stats: undefined,
            status: await this.status(),
          }).slice(0, 4000),
        ...options,
      },
    );
  }

  /** Leaves as a crash would: no goodbye. */
  close() {
    this.closed = true;
    return this.context.close();
  }
}

/**
 * Starts everything that is shared by the tests of one file.
 *
 * @param origin from `tests/support/origin.mjs`
 * @param tracker `{ url, close }`
 * @param pages the server of the pages, and the browser: where others use them too, they stay open at the end
 */
export async function startWorld({ origin, tracker, bytesAt, pages: givenPages, browser: givenBrowser }) {
  const pages = givenPages ?? (await startPages());
  const browser = givenBrowser ?? (await launchChromium());
  const viewers = new Set();
  return {
    origin,
    tracker,
    pages,
    browser,
    bytesAt,

    /** Opens a viewer's page, without playing yet. */
    async open(name, { prepare = { mode: "hlswarm" }, before } = {}) {
      const context = await browser.newContext({ userAgent: `hlswarm-test ${name}` });
      await context.addInitScript({ path: instrument });
      if (before) await context.addInitScript(before);
      const page = await context.newPage();
      await page.goto(`${pages.url}/page/viewer.html`);
      await page.waitForFunction(() => window.viewer);
      if (prepare) await page.evaluate((options) => window.viewer.prepare(options), prepare);
      const viewer = new Viewer(this, name, context, page);
      viewers.add(viewer);
      return viewer;
    },

    /** Opens a viewer's page and plays `manifestUrl` with hlswarm. */
    async play(name, manifestUrl, { open, ...options } = {}) {
      const { mode = "hlswarm", build } = options;
      const viewer = await this.open(name, { prepare: { mode, build }, ...open });
      await viewer.start({ mode, manifestUrl, trackers: [this.tracker.url], ...options });
      return viewer;
    },

    /**
     * Checks what holds for every viewer of every test: each buffer that hls.js was handed is the origin's, and
     * nothing was thrown.
     *
     * @returns the reports
     */
    async verify(list, { errors = [] } = {}) {
      const reports = await Promise.all(list.map((viewer) => viewer.report()));
      const { checked, wrong } = await checkBuffers(reports, bytesAt);
      assert.deepEqual(wrong, [], "buffers that differ from the origin's");
      assert.ok(checked > 0, "no buffer was handed to any player");
      for (const [i, report] of reports.entries()) {
        const unexpected = report.errors.filter(
          (line) => !line.startsWith("hls.js: buffer") && !errors.some((known) => known.test(line)),
        );
        assert.deepEqual(unexpected, [], `errors of ${list[i].name}`);
      }
      return reports;
    },

    /** Closes the viewers of one test. */
    async closeViewers() {
      await Promise.all([...viewers].map((viewer) => viewer.close().catch(() => {})));
      viewers.clear();
    },

    async close() {
      await this.closeViewers();
      if (!givenBrowser) await browser.close();
      if (!givenPages) await pages.close();
      await this.tracker?.close();
      await origin.close();
    },
  };
}
