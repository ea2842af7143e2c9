// Processor time of a page, by Chromium's performance metrics.

/** Begins to count, and gives the session to ask. Processor time, not time on the clock: what else the machine does is no cost of the page. */
export async function watchProcessorTime(context, page) {
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  return session;
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
