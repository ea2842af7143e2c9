// The demo's servers: the tracker, the origin with a film and a live stream, and the page.

import { publishLive } from "../../tests/support/live.mjs";
import { makeHls } from "../../tests/support/media.mjs";
import { fileIn, startOrigin } from "../../tests/support/origin.mjs";
import { at, startServer } from "./run.mjs";

const renditions = [
  { height: 360, kbps: 800 },
  { height: 720, kbps: 2200 },
];

/**
 * Starts everything.
 *
 * @param {{ tracker: string, port: number, host: string }} options the tracker's program, and where the page shall be;
 *   port 0 takes a free one
 * @returns `{ url, origin, stream, close() }`
 */
export async function startDemo({ tracker, port, host }) {
  const stream = await makeHls({ kind: "ts", segments: 30, segmentSeconds: 4, renditions });
  const origin = await startOrigin({ dir: stream.dir, host });
  origin.mount("/vod/", (rest) => fileIn(stream.dir, rest));
  const live = publishLive(origin, { stream, window: 8 });
  const running = await startServer(tracker, ["--listen", `${host}:0`], {
    ready: /listening on (?:\S*\/\/)?(\S+)/,
  });
  const trackerUrl = `ws://${running.match[1].replace(/\/$/, "")}/`;

  const json = (value) => ({ body: JSON.stringify(value), type: "application/json" });
  const page = await startOrigin({ dir: at("examples", "demo"), port, host });
  page.mount("/demo.json", () =>
    json({ trackers: [trackerUrl], streams: { vod: `${origin.url}/vod/${stream.master}`, live: live.url } }),
  );
  page.mount("/origin.json", () => {
    const { requests, bytes, uniqueBytes, copies } = origin.segmentsServed();
    return json({ requests, bytes, uniqueBytes, copies });
  });
  page.mount("/hlswarm/", (rest) => fileIn(at("dist"), rest));
  page.mount("/hls.js/", (rest) => fileIn(at("node_modules", "hls.js", "dist"), rest));
  page.mount("/", (rest) => fileIn(page.dir, rest || "index.html"));
  return {
    url: `${page.url}/`,
    trackerUrl,
    origin,
    async close() {
      await Promise.all([page.close(), origin.close(), running.stop()]);
    },
  };
}
