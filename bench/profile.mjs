// What the scripts of a page spent their time on, by the browser's own sampling profiler.

/** Begins to profile the page behind a CDP session. Returns a function that stops and gives the profile's summary. */
export async function startProfile(session) {
  await session.send("Profiler.enable");
  await session.send("Profiler.setSamplingInterval", { interval: 500 });
  await session.send("Profiler.start");
  return async () => summary((await session.send("Profiler.stop")).profile);
}

/** Milliseconds by function, without its callees: `{ "name url": ms }`. */
function summary({ nodes, samples, timeDeltas }) {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => [
      id,
      `${functionName || "(anonymous)"} ${url.replace(/^https?:\/\/[^/]+/, "")}`.trim(),
    ]),
  );
  const spent = {};
  for (const [i, id] of samples.entries()) {
    const name = names.get(id);
    spent[name] = (spent[name] ?? 0) + timeDeltas[i] / 1000;
  }
  return spent;
}

/** The functions that took most, as a Markdown list: milliseconds per viewer. */
export function profileTable(title, profiles, count = 25) {
  const spent = new Map();
  for (const profile of profiles)
    for (const [name, ms] of Object.entries(profile))
      spent.set(name, (spent.get(name) ?? 0) + ms / profiles.length);
  const top = [...spent]
    .filter(([name]) => name !== "(idle)")
    .sort(([, a], [, b]) => b - a)
    .slice(0, count);
  return `${title}: script time per viewer, ms\n${top.map(([name, ms]) => `${ms.toFixed(1).padStart(9)}  ${name}`).join("\n")}\n`;
}
