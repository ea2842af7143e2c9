// The streams of the scenarios, published on the origin under a path of their own for each pass.
import path from "node:path";
import { publishLive } from "../tests/support/live.mjs";
import { makeHls } from "../tests/support/media.mjs";

/** Bits per second of video; with audio and container about 740 kbit/s. */
const renditions = [{ height: 180, kbps: 650 }];

/** So few pictures that decoding and showing them leaves the machine to what is measured. */
const fps = 5;

/** A live stream must not begin again while it is measured. */
const liveSegments = 150;

/** Makes the scenario's media, or finds it in the cache. */
export function makeMedia(scenario) {
  const { segmentSeconds } = scenario;
  const segments = scenario.kind === "live" ? liveSegments : scenario.segments;
  return makeHls({ kind: "ts", segments, segmentSeconds, renditions, fps });
}

/**
 * Publishes it.
 *
 * @returns `{ url, begin(), publishedAtUnixMs?(sequence), remove() }`; a live stream's first window stands at `begin()`
 */
export function publish(origin, scenario, stream, name) {
  const at = `/${name}/`;
  if (scenario.kind === "live") {
    const live = publishLive(origin, { stream, at, window: scenario.window });
    return { url: live.url, begin: live.restart, publishedAtUnixMs: live.publishedAtMs, remove: live.stop };
  }
  const remove = origin.mount(at, (rest) => {
    const file = path.resolve(stream.dir, rest);
    return file.startsWith(stream.dir + path.sep) ? { file } : undefined;
  });
  return { url: `${origin.url}${at}${stream.master}`, begin() {}, remove };
}
