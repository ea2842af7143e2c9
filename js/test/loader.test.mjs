import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { load, settle } from "./modules.mjs";

const { createLoaderClass } = await load("adapter/loader.ts");

/** A loader as the player's own, which never answers by itself. */
class OwnLoader {
  static made = [];
  context = null;
  calls = [];
  stats = {
    aborted: false,
    loaded: 0,
    retry: 0,
    total: 0,
    chunkCount: 0,
    bwEstimate: 0,
    loading: { start: 0, first: 0, end: 0 },
    parsing: { start: 0, end: 0 },
    buffering: { start: 0, first: 0, end: 0 },
  };
  constructor() {
    OwnLoader.made.push(this);
  }
  load(context, config, callbacks) {
    // As hls.js's loaders do.
    if (this.stats.loading.start) throw new Error("Loader can only be used once.");
    this.calls.push("load");
    Object.assign(this, { context, config, callbacks });
  }
  abort() {
    this.calls.push("abort");
  }
  destroy() {
    this.calls.push("destroy");
    this.stats = null;
  }
}

let hub;
let told;
let loader;
const context = { url: "https://cdn.example/1.ts", frag: {} };
const config = { loadPolicy: { maxLoadTimeMs: Infinity } };
const callbacks = {
  onSuccess: (response, stats) => told.push(["success", response, { ...stats.loading }]),
  onError: (error) => told.push(["error", error]),
  onTimeout: () => told.push(["timeout"]),
  onAbort: () => told.push(["abort"]),
};
const timing = (firstByteMs, totalMs) => ({ firstByteMs, totalMs });

beforeEach(() => {
  told = [];
  OwnLoader.made = [];
  hub = {
    answer: null,
    cancelled: 0,
    alone: 0,
    reasons: [],
    takes: true,
    soon: () => null,
    want(_context, answer) {
      if (!this.takes) return null;
      this.answer = answer;
      return { cancel: () => hub.cancelled++ };
    },
    bypassed: (_context, reason) => hub.reasons.push(reason),
    loadedAlone: (bytes) => {
      hub.alone += bytes;
    },
    bandwidthBps: () => 8_000_000,
  };
  const Loader = createLoaderClass(hub, () => OwnLoader);
  loader = new Loader({});
});

test("hls.js gets its own stats object, filled in place", () => {
  const { stats } = loader;
  loader.load(context, config, callbacks);
  hub.answer.delivered(new ArrayBuffer(1_000_000), timing(100, 900));
  assert.equal(loader.stats, stats);
  assert.equal(stats.loaded, 1_000_000);
  assert.equal(stats.total, 1_000_000);
  assert.equal(stats.aborted, false);
});

test("the player samples the rate of the network, not that of the cache", () => {
  loader.load(context, config, callbacks);
  hub.answer.delivered(new ArrayBuffer(1_000_000), timing(100, 900));
  const [[what, response, loading]] = told;
  assert.equal(what, "success");
  assert.equal(response.data.byteLength, 1_000_000);
  assert.equal(response.code, 200);
  assert.ok(Math.abs(loading.end - loading.start - 900) < 1);
  assert.ok(Math.abs(loading.first - loading.start - 100) < 1);
});

test("a segment without a measured time does not look infinitely fast", () => {
  loader.load(context, config, callbacks);
  hub.answer.delivered(new ArrayBuffer(1_000_000), timing(0, 0));
  const [[, , loading]] = told;
  assert.ok(Math.abs(loading.end - loading.start - 1000) < 1, "one second at the player's own estimate");
});

test("waiting for a viewer does not look like a slow CDN", async () => {
  loader.load(context, config, callbacks);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(performance.now() - loader.stats.loading.start < 10, "the clock has not started");
  const startedMs = performance.now() - 5000;
  hub.answer.progress(startedMs, startedMs + 50, 1000, 4000);
  assert.equal(loader.stats.loading.start, startedMs, "the CDN's clock has");
  assert.equal(loader.stats.loading.first, startedMs + 50);
  assert.deepEqual([loader.stats.loaded, loader.stats.total], [1000, 4000]);
  hub.answer.progress(0, 0, 0, 0);
  assert.ok(performance.now() - loader.stats.loading.start < 10, "and stops when the download does");
  assert.equal(loader.stats.loaded, 0);
});

test("a download in flight never looks complete", () => {
  loader.load(context, config, callbacks);
  hub.answer.progress(performance.now(), performance.now(), 1000, 1000);
  assert.notEqual(loader.stats.loaded, loader.stats.total);
});

test("the CDN's status is passed on, a refused segment is a bad gateway", () => {
  loader.load(context, config, callbacks);
  hub.answer.failed({ kind: "status", status: 503, message: "" });
  assert.deepEqual(told, [["error", { code: 503, text: "" }]]);
  loader = new (createLoaderClass(hub, () => OwnLoader))({});
  loader.load(context, config, callbacks);
  hub.answer.failed({ kind: "refused", status: 0, message: "refused" });
  assert.deepEqual(told[1], ["error", { code: 502, text: "refused" }]);
});

for (const kind of ["unknown", "shutdown", "broken", "network", "timeout"]) {
  test(`after "${kind}" hls.js loads by itself, as if nothing had been`, () => {
    loader.load(context, config, callbacks);
    hub.answer.progress(performance.now() - 100, performance.now(), 10, 100);
    hub.answer.failed({ kind, status: 0, message: "" });
    const [own] = OwnLoader.made;
    assert.deepEqual(own.calls, ["load"]);
    assert.equal(own.context, context);
    assert.equal(own.config, config);
    assert.equal(own.stats, loader.stats);
    assert.deepEqual(loader.stats.loading, { start: 0, first: 0, end: 0 });
    assert.deepEqual(hub.reasons, [kind === "network" || kind === "timeout" ? "failed" : kind]);
    own.callbacks.onSuccess({ data: new ArrayBuffer(7) }, { ...own.stats, loaded: 7 }, context, null);
    assert.equal(told[0][0], "success");
    assert.equal(hub.alone, 7);
  });
}

test("what the engine does not take goes to hls.js at once", () => {
  hub.takes = false;
  loader.load(context, config, callbacks);
  assert.deepEqual(OwnLoader.made[0].calls, ["load"]);
  loader.abort();
  assert.deepEqual(OwnLoader.made[0].calls, ["load", "abort"]);
});

test("an abort is told once, and nothing after it", () => {
  loader.load(context, config, callbacks);
  loader.abort();
  assert.equal(hub.cancelled, 1);
  assert.equal(loader.stats.aborted, true);
  assert.deepEqual(told, [["abort"]]);
  hub.answer.delivered(new ArrayBuffer(1), timing(1, 1));
  hub.answer.failed({ kind: "unknown", status: 0, message: "" });
  loader.abort();
  loader.destroy();
  assert.deepEqual(told, [["abort"]]);
  assert.deepEqual(OwnLoader.made[0].calls, ["destroy"]);
});

test("destroying after success changes nothing for the fragment", () => {
  const { stats } = loader;
  loader.load(context, config, callbacks);
  hub.answer.delivered(new ArrayBuffer(8), timing(1, 2));
  loader.destroy();
  assert.equal(stats.aborted, false);
  assert.equal(stats.loaded, 8);
  assert.equal(hub.cancelled, 0);
});

test("an engine that never answers is given up after the player's own limit", async () => {
  loader.load(context, { loadPolicy: { maxLoadTimeMs: 20 } }, callbacks);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(hub.cancelled, 1);
  assert.deepEqual(OwnLoader.made[0].calls, ["load"]);
});

test("a loading engine is waited for, but an abort meanwhile counts", async () => {
  let arrive;
  hub.soon = () => new Promise((resolve) => (arrive = resolve));
  loader.load(context, config, callbacks);
  assert.equal(hub.answer, null);
  arrive();
  await settle();
  assert.ok(hub.answer);
  const Loader = createLoaderClass(hub, () => OwnLoader);
  hub.answer = null;
  const other = new Loader({});
  other.load(context, config, callbacks);
  other.abort();
  arrive();
  await settle();
  assert.equal(hub.answer, null);
});
