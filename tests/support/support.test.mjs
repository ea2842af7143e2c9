// The helpers that the browser tests and the benchmark measure with: what they count and publish must be right.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { publishLive } from "./live.mjs";
import { parseMedia } from "./m3u8.mjs";
import { kinds, makeHls } from "./media.mjs";
import { parseRange, startOrigin } from "./origin.mjs";

let dir;
let origin;
const body = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31) % 251));

before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), "hlswarm-origin-"));
  await writeFile(path.join(dir, "a.ts"), body);
  origin = await startOrigin({ dir });
});
after(async () => {
  await origin.close();
  await rm(dir, { recursive: true });
});

const get = (file, headers = {}) => fetch(`${origin.url}${file}`, { headers });
const bytesOf = async (response) => Buffer.from(await response.arrayBuffer());

test("the origin serves whole files and ranges with CORS and counts their bytes", async () => {
  origin.reset();
  const whole = await get("/a.ts");
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await bytesOf(whole), body);
  const part = await get("/a.ts", { Range: "bytes=100-299" });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), "bytes 100-299/200000");
  assert.deepEqual(await bytesOf(part), body.subarray(100, 300));
  assert.deepEqual(origin.stats(), {
    requests: 2,
    bytes: 200_200,
    files: { "/a.ts": { requests: 2, bytes: 200_200 } },
  });
  const served = origin.segmentsServed();
  assert.equal(served.uniqueBytes, 200_000);
  assert.equal(served.copies, 1.001);
  assert.equal((await get("/a.ts", { Range: "bytes=200000-" })).status, 416);
  assert.equal((await get("/../../etc/passwd")).status, 404);
  assert.equal((await get("/%2e%2e/%2e%2e/etc/passwd")).status, 404);
});

test("ranges are read as in RFC 9110", () => {
  assert.deepEqual(parseRange("bytes=0-0", 10), [0, 1]);
  assert.deepEqual(parseRange("bytes=5-", 10), [5, 10]);
  assert.deepEqual(parseRange("bytes=-3", 10), [7, 10]);
  assert.deepEqual(parseRange("bytes=4-99", 10), [4, 10]);
  assert.equal(parseRange("bytes=10-", 10), null);
  assert.equal(parseRange("bytes=5-4", 10), undefined);
  assert.equal(parseRange("bytes=0-1,4-5", 10), undefined);
  assert.equal(parseRange(undefined, 10), undefined);
});

test("faults do what they say, as often as they say", async () => {
  origin.setFault("a.ts", { status: 503, times: 1 });
  assert.equal((await get("/a.ts")).status, 503);
  assert.equal((await get("/a.ts")).status, 200);

  let undo = origin.setFault(/a\.ts$/, { resetAfterBytes: 70_000 });
  await assert.rejects(get("/a.ts").then(bytesOf));
  undo();
  undo = origin.setFault("a.ts", { noRange: true, rangeOnly: true });
  const whole = await get("/a.ts", { Range: "bytes=5-9" });
  assert.equal(whole.status, 200);
  assert.equal((await bytesOf(whole)).length, body.length);
  undo();
  undo = origin.setFault("a.ts", { truncateBytes: 1000 });
  assert.equal((await bytesOf(await get("/a.ts"))).length, 1000);
  undo();
  undo = origin.setFault("a.ts", { corrupt: true });
  const wrong = await bytesOf(await get("/a.ts"));
  assert.equal(wrong.length, body.length);
  assert.notDeepEqual(wrong, body);
  undo();
  undo = origin.setFault("a.ts", { noCors: true });
  assert.equal((await get("/a.ts")).headers.get("access-control-allow-origin"), null);
  undo();
  assert.deepEqual(await bytesOf(await get("/a.ts")), body);
});

test("every kind of stream has its segments on disk, and they differ", { timeout: 300_000 }, async () => {
  for (const kind of kinds) {
    const stream = await makeHls({ kind, segments: 4 });
    assert.equal(stream.tracks.length, kind === "audio" ? 4 : 2, kind);
    for (const track of stream.tracks) {
      assert.ok(track.segments.length >= 4, `${kind} ${track.name}: ${track.segments.length} segments`);
      const seen = new Set();
      for (const { uri, byteRange } of track.segments) {
        const bytes = await readFile(path.join(stream.dir, path.dirname(track.playlist), uri));
        const own = byteRange ? bytes.subarray(byteRange.start, byteRange.end) : bytes;
        assert.ok(own.length >= 376, `${kind} ${track.name} ${uri}: ${own.length} bytes`);
        seen.add(createHash("sha256").update(own).digest("hex"));
      }
      assert.equal(seen.size, track.segments.length, `${kind} ${track.name}`);
    }
    const [first] = stream.tracks;
    assert.equal(
      first.segments.every((s) => s.byteRange),
      kind === "byterange",
    );
    assert.equal(
      first.segments.every((s) => s.key?.includes("AES-128")),
      kind === "aes",
    );
    assert.equal(
      first.segments.every((s) => s.map),
      kind === "fmp4",
    );
    assert.equal(first.segments.filter((s) => s.discontinuity).length, kind === "discontinuity" ? 1 : 0);
  }
});

test("the live window slides, loops behind a discontinuity and ends", { timeout: 300_000 }, async () => {
  const stream = await makeHls({ kind: "ts", segments: 4 });
  let nowMs = 1_000_000;
  const live = publishLive(origin, { stream, window: 3, now: () => nowMs });
  const read = async () => {
    const text = await (await fetch(new URL("180p/index.m3u8", live.url))).text();
    const number = (tag) => Number(new RegExp(`#EXT-X-${tag}:(\\d+)`).exec(text)[1]);
    return {
      text,
      ...parseMedia(text),
      sequence: number("MEDIA-SEQUENCE"),
      breaks: number("DISCONTINUITY-SEQUENCE"),
    };
  };
  // What a player makes of it: every segment's discontinuity number.
  const numbers = ({ segments, breaks }) => segments.map((s) => (breaks += s.discontinuity ? 1 : 0));

  assert.match(await (await fetch(live.url)).text(), /288p\/index\.m3u8/);
  let now = await read();
  assert.deepEqual([now.sequence, now.segments.length, now.breaks], [0, 3, 0]);
  nowMs += 1999;
  assert.equal((await read()).sequence, 0);
  const known = new Map();
  for (let step = 1; step <= 12; step++) {
    nowMs = 1_000_000 + step * 2000;
    now = await read();
    assert.equal(now.sequence, step);
    for (const [i, number] of numbers(now).entries()) {
      const sequence = now.sequence + i;
      assert.equal(number, Math.floor(sequence / 4), `segment ${sequence}`);
      const { uri } = now.segments[i];
      assert.equal(known.get(sequence) ?? uri, uri);
      known.set(sequence, uri);
    }
  }
  const newest = live.sequence()[1];
  assert.equal(live.publishedAtMs(newest), nowMs);
  const segment = await fetch(new URL(`180p/${now.segments[2].uri}`, live.url));
  const onDisk = await readFile(path.join(stream.dir, "180p", stream.tracks[0].segments[newest % 4].uri));
  assert.deepEqual(await bytesOf(segment), onDisk);
  assert.deepEqual(await origin.bytesAt(segment.url), onDisk);
  const next = await fetch(
    new URL(`180p/${newest + 1}-${stream.tracks[0].segments[(newest + 1) % 4].uri}`, live.url),
  );
  assert.equal(next.status, 404, "a segment is not there before its time");

  live.pause();
  nowMs += 10_000;
  assert.equal((await read()).sequence, 12);
  live.resume();
  nowMs += 2000;
  assert.equal((await read()).sequence, 13);
  live.end();
  nowMs += 10_000;
  now = await read();
  assert.equal(now.sequence, 13);
  assert.match(now.text, /#EXT-X-ENDLIST/);

  live.renumber(7);
  const renumbered = await read();
  assert.equal(renumbered.sequence, 7);
  assert.deepEqual(
    renumbered.segments.map(({ uri }) => uri),
    now.segments.map(({ uri }) => uri),
  );
  assert.equal(live.sequence()[1], 9);
  live.stop();
  assert.equal((await fetch(live.url)).status, 404);
});
