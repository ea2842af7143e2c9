// Prints what faults did to viewers, and says where a promise was not kept.
import { percentile } from "../report.mjs";

/** With peers, viewers may stall this much longer than over HTTP alone, and start this much later. */
const stalledLongerMs = 250;
const startupLaterMs = 100;

const seconds = (ms) => (ms === undefined ? "no" : (ms / 1000).toFixed(1));
const percent = (value) => `${(value * 100).toFixed(0)} %`;

/** One Markdown table: a row for each fault and run. */
export function faultTable(results) {
  const rows = results.map(({ name, alone, withPeers }) => {
    if (alone.failed || withPeers.failed) return [name, "failed", "", "", "", "", "", ""];
    const received = withPeers.p2pBytes + withPeers.httpBytes;
    return [
      name,
      `${seconds(withPeers.stalledMs)} (${withPeers.stalls})`,
      `${seconds(alone.stalledMs)} (${alone.stalls})`,
      `${withPeers.wrong.length} of ${withPeers.buffers}`,
      seconds(withPeers.recoveredMs),
      seconds(alone.recoveredMs),
      percent(received ? withPeers.p2pBytes / received : 0),
      percent(1 - withPeers.originBytes / alone.originBytes),
    ];
  });
  const head = [
    "fault",
    "stalled s (times)",
    "over HTTP alone",
    "wrong buffers",
    "recovered in s",
    "over HTTP alone",
    "from peers",
    "offload",
  ];
  const all = [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const pad = (text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]));
  return `${all.map((row) => `| ${row.map(pad).join(" | ")} |`).join("\n")}\n`;
}

/** How late viewers start, over all faults; `{ text, late }`. */
export function startups(results) {
  const played = results.filter(({ alone, withPeers }) => !alone.failed && !withPeers.failed);
  const p95 = (side) =>
    percentile(
      played.flatMap((result) => result[side].startupMs),
      0.95,
    );
  const [withPeers, alone] = [p95("withPeers"), p95("alone")];
  return {
    text: `start-up p95 ${Math.round(withPeers)} ms, ${Math.round(alone)} ms over HTTP alone`,
    late: withPeers > alone + startupLaterMs,
  };
}

/** What a result breaks of the invariants, as lines for people. */
export function broken({ name, alone, withPeers }) {
  for (const side of [alone, withPeers]) if (side.failed) return [`${name}: ${side.failed}`];
  const lines = [];
  const say = (text) => lines.push(`${name}: ${text}`);
  if (withPeers.stalledMs > alone.stalledMs + stalledLongerMs)
    say(`stalled ${Math.round(withPeers.stalledMs)} ms, ${Math.round(alone.stalledMs)} ms over HTTP alone`);
  if (withPeers.stalls > alone.stalls) say(`${withPeers.stalls} stalls, ${alone.stalls} over HTTP alone`);
  for (const line of withPeers.wrong) say(`wrong buffer: ${line}`);
  for (const line of withPeers.errors) say(line);
  if (withPeers.left > 0) say(`${withPeers.left} timers, connections or sockets are left after destroy()`);
  if (withPeers.recoveredMs === undefined && alone.recoveredMs !== undefined) say("did not recover");
  return lines;
}
