// Pages that play, and their processor time by Chromium's performance metrics.

/**
 * Opens a page that is ready to play in `mode`, in a browser context of its own.
 *
 * @param world `{ browser, pages }`
 * @param options `context`: of the browser context; `script`: file of what runs before anything else in the page
 * @returns `{ context, page, session }`
 */
export async function openViewer({ browser, pages }, mode, { context: contextOptions, script } = {}) {
  const context = await browser.newContext(contextOptions);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  // Processor time, not time on the clock: what else the machine does is no cost of the page.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  if (script) await page.addInitScript({ path: script });
  await page.goto(`${pages.url}/page/viewer.html`);
  await page.waitForFunction(() => window.viewer);
  await page.evaluate((options) => window.viewer.prepare(options), { mode });
  return { context, page, session };
}

/** Lets a viewer play, and notes what it had cost by then and when that was. `viewer.started` resolves when it is under way. */
export async function startViewer(viewer, { mode, stream, trackers, scenario }) {
  viewer.before = await processorTime(viewer.session);
  viewer.startedAt = Date.now();
  viewer.started = viewer.page.evaluate((given) => window.viewer.start(given), {
    mode,
    manifestUrl: stream.url,
    trackers,
    hlsConfig: scenario.hlsConfig ?? {},
    p2pOptions: scenario[mode] ?? {},
  });
}

/** Seconds of processor time so far. */
export async function processorTime(session) {
  const { metrics } = await session.send("Performance.getMetrics");
  const value = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  return {
    taskSeconds: value("TaskDuration"),
    scriptSeconds: value("ScriptDuration"),
    processSeconds: value("ProcessTime"),
  };
}
