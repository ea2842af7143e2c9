import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "./modules.mjs";

const { bufferedAhead, PlayheadWatch } = await load("adapter/playhead.ts");
const { Timelines } = await load("adapter/timelines.ts");

const ranges = (...pairs) => ({
  length: pairs.length,
  start: (index) => pairs[index][0],
  end: (index) => pairs[index][1],
});

test("the buffer ahead reaches over small holes and no further", () => {
  assert.equal(bufferedAhead(ranges([0, 10]), 4), 6);
  assert.equal(bufferedAhead(ranges([0, 10], [10.3, 12]), 4), 8);
  assert.equal(bufferedAhead(ranges([0, 10], [11, 12]), 4), 6);
  assert.equal(bufferedAhead(ranges([4.4, 10]), 4), 6);
  assert.equal(bufferedAhead(ranges([0, 3], [20, 30]), 4), 0);
  assert.equal(bufferedAhead(ranges(), 4), 0);
});

test("the playhead is told at once, at each event, and no more after the end", () => {
  class Media extends EventTarget {
    currentTime = 2;
    paused = false;
    ended = false;
    playbackRate = 1.5;
    buffered = ranges([0, 12]);
  }
  const media = new Media();
  const told = [];
  const watch = new PlayheadWatch(media, (...where) => told.push(where));
  media.currentTime = 8;
  media.dispatchEvent(new Event("seeking"));
  media.paused = true;
  media.dispatchEvent(new Event("pause"));
  watch.destroy();
  media.dispatchEvent(new Event("seeking"));
  assert.deepEqual(told, [
    [2000, 1500, 10_000],
    [8000, 1500, 4000],
    [8000, 0, 4000],
  ]);
});

test("a playhead that moves as the engine takes it to is told seldom, a surprise soon", async () => {
  class Media extends EventTarget {
    paused = false;
    ended = false;
    playbackRate = 1;
    startedAt = performance.now();
    jump = 0;
    get currentTime() {
      return (performance.now() - this.startedAt) / 1000 + this.jump;
    }
    buffered = ranges([0, 100]);
  }
  const media = new Media();
  const told = [];
  const watch = new PlayheadWatch(media, (positionMs) => told.push(positionMs));
  await sleep(1000);
  assert.equal(told.length, 1, "nothing new yet");
  media.jump = 5;
  await sleep(500);
  assert.equal(told.length, 2, "it jumped without an event");
  await sleep(1700);
  assert.ok(told.length >= 3, "now and then it is told all the same");
  watch.destroy();
});

const fragment = (sn, start, more = {}) => ({
  sn,
  cc: 1,
  start,
  duration: 4,
  byteRange: [],
  url: `https://cdn.example/${sn}.ts`,
  ...more,
});

test("a playlist becomes numbers and URLs; gaps are left out", () => {
  const timelines = new Timelines();
  const fragments = [
    fragment(7, 0),
    fragment(8, 4, { gap: true }),
    fragment(9, 8, { byteRange: [100, 300] }),
  ];
  const details = { live: true, startSN: 7, fragments };
  const update = timelines.update({ track: "ab", kind: "audio", bitrateBps: 5, details });
  assert.deepEqual(update, {
    track: "ab",
    audio: true,
    live: true,
    bitrateBps: 5,
    numbers: new Float64Array([1, 7, 0, 4000, 0, -1, 1, 9, 8000, 4000, 100, 300]),
    urls: ["https://cdn.example/7.ts", "https://cdn.example/9.ts"],
  });
  assert.equal(timelines.trackOf(fragments[0]), "ab");
  assert.equal(timelines.trackOf(fragments[1]), undefined, "a gap is none of ours");
  assert.equal(timelines.trackOf(fragment(7, 0)), undefined, "nor is a fragment that we were not shown");
  assert.equal(timelines.find("ab/1/9"), fragments[2]);
  assert.equal(timelines.find("ab/0/9"), undefined);
  assert.equal(timelines.find("cd/1/9"), undefined);
});

test("a playlist is told again when its segments moved, and only then", () => {
  const timelines = new Timelines();
  const details = { live: false, startSN: 0, fragments: [fragment(0, 0), fragment(1, 4)] };
  timelines.update({ track: "ab", kind: "main", bitrateBps: 0, details });
  details.fragments[1].start = 4.05;
  assert.equal(timelines.moved(details), null);
  details.fragments[1].start = 4.5;
  assert.equal(timelines.moved(details).numbers[8], 4500);
  assert.equal(timelines.moved(details), null);
  assert.equal(timelines.moved({ fragments: [] }), null, "a playlist that is not known");
});
