// Puts the state of player and peers on the page.
import { bytes, clock, percent } from "./format.mjs";

const shownSegments = 66;
const shownEvents = 60;
const byId = (id) => document.getElementById(id);

/** Sets a text, and only if it has changed: screen readers and layout are left in peace. */
function show(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

/** What `p2p.stats()` tells. Without peers there is none, and only the player's own bytes are known. */
export function showStats(stats) {
  const { httpBytes, p2pBytes, uploadedBytes } = stats;
  const all = httpBytes + p2pBytes;
  show("share", all ? percent(p2pBytes / all) : "–");
  show("http", bytes(httpBytes));
  show("p2p-bytes", bytes(p2pBytes));
  show("upload", bytes(uploadedBytes));
  const split = byId("split");
  split.setAttribute(
    "aria-label",
    all
      ? `${percent(httpBytes / all)} from the origin, ${percent(p2pBytes / all)} from viewers`
      : "No bytes yet",
  );
  split.replaceChildren(
    ...[
      ["http", httpBytes],
      ["p2p", p2pBytes],
    ]
      .filter(([, count]) => count > 0)
      .map(([name, count]) => {
        const part = document.createElement("i");
        part.className = name;
        part.style.flexGrow = count;
        return part;
      }),
  );
  show("status", statusLine(stats));
  show(
    "cache",
    `${stats.cache.segments} segments, ${bytes(stats.cache.bytes)} of ${bytes(stats.cache.budgetBytes)}`,
  );
  show("tracker", stats.trackers.map(({ state }) => state).join(", ") || "none");
  show("swarm", stats.swarmSize ? String(stats.swarmSize) : "–");
  showPeers(stats.peerList);
  show(
    "nobody",
    stats.p2pEnabled
      ? "Nobody yet. Open another viewer to see segments go from one to the other."
      : "Nobody: sharing is off.",
  );
}

function statusLine({ state, p2pEnabled, peers, trackers }) {
  if (state === "failed") return "playing over HTTP alone: hlswarm could not start";
  if (state === "loading") return "the engine is loading";
  if (!p2pEnabled) return "playing over HTTP alone";
  const tracker = trackers.some((one) => one.state === "connected") ? "" : ", tracker not connected";
  return `${peers} ${peers === 1 ? "peer" : "peers"}${tracker}`;
}

function showPeers(list) {
  byId("nobody").hidden = list.length > 0;
  byId("peer-table").hidden = list.length === 0;
  const body = byId("peers");
  while (body.rows.length > list.length) body.deleteRow(-1);
  for (const [i, peer] of list.entries()) {
    const row = body.rows[i] ?? body.insertRow();
    const cells = [
      peer.peer.slice(-6),
      bytes(peer.downloadedBytes),
      bytes(peer.uploadedBytes),
      peer.rttMs === null ? "–" : `${peer.rttMs} ms`,
      `${peer.segments} segments`,
    ];
    for (const [j, text] of cells.entries()) {
      const cell = row.cells[j] ?? row.insertCell();
      if (cell.textContent !== text) cell.textContent = text;
    }
    row.cells[0].title = peer.peer;
  }
}

/** The player's own state. */
export function showPlayer(video, { level, stalls }) {
  const { buffered, currentTime } = video;
  const ranges = Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
  const ahead =
    ranges.find(([from, to]) => currentTime >= from - 0.1 && currentTime <= to)?.[1] ?? currentTime;
  show("playing", `${clock(currentTime)}${level ? `, ${level}` : ""}`);
  show("buffered", `${(ahead - currentTime).toFixed(1)} s ahead`);
  show("stalls", String(stalls));

  // A film is shown whole; of a live stream, what the player could seek to.
  const { seekable, duration } = video;
  const finite = Number.isFinite(duration);
  const from = finite || !seekable.length ? 0 : seekable.start(0);
  const to = finite ? duration : seekable.length ? seekable.end(seekable.length - 1) : 1;
  const place = (time) => `${Math.min(100, Math.max(0, ((time - from) / (to - from || 1)) * 100))}%`;
  const bar = byId("buffer");
  const head = document.createElement("b");
  head.style.left = place(currentTime);
  bar.replaceChildren(
    ...ranges.map(([start, end]) => {
      const part = document.createElement("i");
      part.style.left = place(start);
      part.style.right = `calc(100% - ${place(end)})`;
      return part;
    }),
    head,
  );
  bar.setAttribute("aria-label", `${(ahead - currentTime).toFixed(0)} seconds buffered ahead`);
}

/** What the origin says of itself: it is the one that knows. */
export function showOrigin({ bytes: served, copies }) {
  show("origin", bytes(served));
  show("copies", served ? copies.toFixed(2) : "–");
}

/** A cell for a segment that has arrived. */
export function addSegment({ key, source, httpBytes, p2pBytes, durationMs }) {
  const names = { http: "the origin", p2p: "viewers", mixed: "both" };
  const cell = document.createElement("li");
  cell.className = source;
  cell.title = `Segment ${key.sequence} from ${names[source]}: ${bytes(httpBytes + p2pBytes)} in ${durationMs} ms`;
  cell.setAttribute("aria-label", cell.title);
  const list = byId("segments");
  list.append(cell);
  while (list.children.length > shownSegments) list.firstChild.remove();
}

/** A line in the list of events, the newest on top. */
export function addEvent(text, bad = false) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const what = document.createElement("span");
  what.textContent = text;
  what.className = bad ? "bad" : "";
  line.append(time, what);
  const list = byId("events");
  list.prepend(line);
  while (list.children.length > shownEvents) list.lastChild.remove();
}

/** Something that the viewer should know of. */
export function showTrouble(text) {
  const place = byId("trouble");
  place.textContent = text;
  place.hidden = !text;
}

export function clearHistory() {
  byId("segments").replaceChildren();
}
