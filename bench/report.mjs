// Turns raw sums into the figures that people compare, and prints them.

const median = (values) => percentile(values, 0.5);

/** The value below which the given share of the values lies (linear between neighbours); undefined for none. */
export function percentile(values, share) {
  const sorted = values
    .filter((value) => typeof value === "number" && !Number.isNaN(value))
    .sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at - Math.floor(at));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The figures of one mode at one checkpoint; `alone` is HTTP only at the same checkpoint of the same run. */
export function figures(raw, alone) {
  const http = sum(raw.httpBytesPerViewer);
  const p2p = sum(raw.p2pBytesPerViewer);
  return {
    offload: alone ? 1 - raw.originBytes / alone.originBytes : undefined,
    p2pRatio: p2p / (p2p + http),
    originCopies: raw.originBytes / raw.uniqueBytes,
    originMegabytes: raw.originBytes / 1e6,
    fetchedPerWatched: (http + p2p) / raw.watchedBytes,
    startupsMs: raw.startupMs,
    startupMedianMs: median(raw.startupMs),
    startupP95Ms: percentile(raw.startupMs, 0.95),
    notStarted: raw.startupMs.filter((ms) => ms === null || ms === undefined).length,
    firstPeerByteMs: median(raw.firstPeerByteMs ?? []),
    stalls: raw.stalls.length,
    stalledMs: sum(raw.stalls),
    taskMsPerMinute: raw.taskMsPerMinute,
    scriptMsPerMinute: raw.scriptMsPerMinute,
    processMsPerMinute: raw.processMsPerMinute,
    connectionsMade: sum(raw.connectionsMade ?? []) / raw.startupMs.length || undefined,
    reachMedianMs: median(raw.reachMs),
    reachMaxMs: raw.reachMs.length ? Math.max(...raw.reachMs) : undefined,
    checked: raw.checked,
    wrong: raw.wrong.length,
    errors: raw.errors.length,
  };
}

const percent = (value) => `${(value * 100).toFixed(1)} %`;
const fixed = (digits) => (value) => value.toFixed(digits);

const columns = [
  ["offload", "offload", percent],
  ["p2pRatio", "P2P ratio", percent],
  ["originCopies", "origin copies", fixed(2)],
  ["originMegabytes", "origin MB", fixed(1)],
  ["fetchedPerWatched", "fetched / watched", fixed(2)],
  ["startupMedianMs", "start-up ms", fixed(0)],
  ["startupP95Ms", "p95", fixed(0)],
  ["firstPeerByteMs", "first peer byte ms", fixed(0)],
  ["stalls", "stalls", fixed(0)],
  ["stalledMs", "stalled ms", fixed(0)],
  ["taskMsPerMinute", "main thread ms/min", fixed(0)],
  ["scriptMsPerMinute", "script ms/min", fixed(0)],
  ["processMsPerMinute", "process ms/min", fixed(0)],
  ["connectionsMade", "connections made", fixed(1)],
  ["reachMedianMs", "reach ms", fixed(0)],
  ["reachMaxMs", "reach max", fixed(0)],
  ["checked", "buffers", fixed(0)],
  ["wrong", "wrong", fixed(0)],
  ["errors", "errors", fixed(0)],
];

function cell(values, format) {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return "";
  const middle = format(median(known));
  const low = format(Math.min(...known));
  const high = format(Math.max(...known));
  return low === high ? middle : `${middle} (${low} to ${high})`;
}

/**
 * One Markdown table per scenario and checkpoint: a row per mode, the median of all runs and, when they differ, the
 * spread.
 *
 * @param title the scenario's title
 * @param viewers how many viewers
 * @param seconds the checkpoint
 * @param modes `Map<mode, figures[]>`, one entry per run
 */
export function table(title, viewers, seconds, modes) {
  const shown = columns.filter(([key]) =>
    [...modes.values()].some((runs) => runs.some((run) => run[key] !== undefined)),
  );
  const runs = Math.max(...[...modes.values()].map((list) => list.length));
  const rows = [
    ["", ...shown.map(([, heading]) => heading)],
    ["---", ...shown.map(() => "---:")],
    ...[...modes].map(([mode, list]) => [
      mode,
      ...shown.map(([key, , format]) =>
        cell(
          list.map((run) => run[key]),
          format,
        ),
      ),
    ]),
  ];
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const line = (row) =>
    `| ${row.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join(" | ")} |`;
  const ideal = `ideal offload ${percent((viewers - 1) / viewers)}`;
  return `### ${title}: after ${seconds} s, ${runs} ${runs === 1 ? "run" : "runs"}, ${ideal}\n\n${rows.map(line).join("\n")}\n`;
}
