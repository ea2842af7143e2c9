// A world with our tracker and an origin that has every kind of stream.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, before } from "node:test";
import { publishLive } from "../../support/live.mjs";
import { makeHls } from "../../support/media.mjs";
import { startOrigin } from "../../support/origin.mjs";
import { root } from "./paths.mjs";
import { signCopy } from "./signer.mjs";
import { startTracker } from "./tracker.mjs";
import { startWorld } from "./world.mjs";

const low = { height: 180, kbps: 500 };
const high = { height: 288, kbps: 1000 };
const segmentSeconds = 2;

/** The world of the test file that called `useTestWorld`, while its tests run. */
export let world;

/** Starts `world` before a file's tests, closes what plays after each test, and all of it after the last. */
export function useTestWorld() {
  before(async () => {
    world = await startTestWorld();
  });
  afterEach(() => world.closeViewers());
  after(() => world?.close());
}

/** Starts a world; see `startWorld`. */
export async function startTestWorld() {
  const tracker = await startTracker();
  const origin = await startOrigin({ dir: path.join(root, ".cache/media") });
  const world = await startWorld({ origin, tracker, bytesAt: origin.bytesAt });
  let streams = 0;

  /** Serves a folder under a path of its own, so that no two tests share a swarm. */
  function publish(folder) {
    const prefix = `/stream-${++streams}/`;
    origin.mount(prefix, (rest) => {
      const file = path.resolve(folder, rest);
      return file.startsWith(folder + path.sep) ? { file } : undefined;
    });
    return `${origin.url}${prefix}`;
  }

  const lines = async (url) => (await origin.bytesAt(url)).toString().split("\n").filter(Boolean);

  const prefixOf = (url) => new URL(".", url).pathname;

  return Object.assign(world, {
    /**
     * The URL of a VOD stream: "ts", "fmp4", "byterange", "aes", "audio", "discontinuity", or "abr" for two
     * renditions. It has 15 segments of 2 s unless it is told otherwise.
     */
    async vod(kind, { segments = 15 } = {}) {
      const renditions = kind === "abr" ? [low, high] : [low];
      const stream = await makeHls({
        kind: kind === "abr" ? "ts" : kind,
        segments,
        segmentSeconds,
        renditions,
      });
      return `${publish(stream.dir)}${stream.master}`;
    },

    /** The URL of a VOD stream of many short and small segments. */
    async longVod({ segments }) {
      const renditions = [{ height: 36, kbps: 20 }];
      const stream = await makeHls({ kind: "ts", segments, segmentSeconds: 0.4, renditions });
      return `${publish(stream.dir)}${stream.master}`;
    },

    /** The URL of a VOD stream of 30 s, behind which a segment of these bytes is listed. */
    async vodAnd(name, bytes) {
      const folder = new URL(".", await this.vod("ts")).pathname;
      const { dir, tracks } = await makeHls({ kind: "ts", segments: 15, segmentSeconds, renditions: [low] });
      const prefix = `/stream-${++streams}/`;
      const list = await readFile(path.join(dir, tracks[0].playlist), "utf8");
      const playlist = list
        .replace(/^[^#\n]+$/gm, (uri) => `${folder}${path.posix.dirname(tracks[0].playlist)}/${uri}`)
        .replace("#EXT-X-ENDLIST", `#EXTINF:2,\n${name}\n#EXT-X-ENDLIST`);
      const master = `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=${low.kbps * 1000}\nindex.m3u8\n`;
      const files = { "master.m3u8": master, "index.m3u8": playlist, [name]: bytes };
      origin.mount(prefix, (rest) => (files[rest] === undefined ? undefined : { body: files[rest] }));
      return `${origin.url}${prefix}master.m3u8`;
    },

    /** A VOD stream of 30 s with signed records: `{ url, integrity, close() }`, with the options to play it. */
    async signedVod() {
      const stream = await makeHls({ kind: "ts", segments: 15, segmentSeconds, renditions: [low] });
      const { dir, publicKey, close } = signCopy(stream.dir, "a film");
      const integrity = { mode: "signed", publicKeys: ["00".repeat(32), publicKey], stream: "a film" };
      return { url: `${publish(dir)}${stream.master}`, integrity, close };
    },

    /** The URL of a live stream of 2 s segments. */
    async live({ window }) {
      const stream = await makeHls({ kind: "ts", segments: 15, segmentSeconds, renditions: [low] });
      return publishLive(origin, { stream, at: `/stream-${++streams}/`, window }).url;
    },

    /** The AES key of a stream of kind "aes". */
    async keyOf(url) {
      return origin.bytesAt(new URL("content.key", url).href);
    },

    /** The segments of a stream's first rendition: `[{ url, start, end }]`; an `end` of 0 is the end of the file. */
    async segmentsOf(url) {
      const playlist = new URL(
        (await lines(url)).find((line) => !line.startsWith("#")),
        url,
      ).href;
      const segments = [];
      let range;
      for (const line of await lines(playlist)) {
        const [, length, at] = /^#EXT-X-BYTERANGE:(\d+)@(\d+)/.exec(line) ?? [];
        if (length) range = { start: Number(at), end: Number(at) + Number(length) };
        if (!line.startsWith("#"))
          segments.push({ url: new URL(line, playlist).href, start: 0, end: 0, ...range });
      }
      return segments;
    },

    /** The SHA-256 of each segment of a stream of whole files, by URL: what a page's segment validator may know. */
    async digests(url) {
      const playlists = (await lines(url)).filter((line) => !line.startsWith("#"));
      const entries = [];
      for (const playlist of playlists) {
        const at = new URL(playlist, url).href;
        for (const uri of (await lines(at)).filter((line) => !line.startsWith("#"))) {
          const segment = new URL(uri, at).href;
          entries.push([
            segment,
            createHash("sha256")
              .update(await origin.bytesAt(segment))
              .digest("hex"),
          ]);
        }
      }
      return entries;
    },

    /** What the origin served of a stream. */
    segmentsServed(url) {
      const prefix = prefixOf(url);
      const entries = origin.log.filter(
        ({ path: file }) => file.startsWith(prefix) && !/\.(m3u8|key)$/.test(file),
      );
      return { requests: entries.length, bytes: entries.reduce((sum, { sent }) => sum + sent, 0) };
    },

    /** The requests of one viewer. */
    requestsOf(viewer) {
      return origin.log.filter((entry) => entry.viewer === `hlswarm-test ${viewer.name}`);
    },
  });
}
