// One swarm with p2p-media-loader as it is published: pages of both kinds share a stream in both directions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startReferenceTracker } from "../../bench/trackers.mjs";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

/** A page of ours that also shares with p2p-media-loader. */
const ours = (name, url, { p2pOptions = {}, ...options } = {}) =>
  world.play(name, url, { ...options, p2pOptions: { interop: "p2p-media-loader", ...p2pOptions } });
/** A page of p2p-media-loader. What it needs within its window it always fetches over HTTP: a short one leaves more. */
const stock = (name, url, { p2pOptions = {}, ...options } = {}) =>
  world.play(name, url, {
    mode: "p2pml",
    ...options,
    p2pOptions: { highDemandTimeWindow: 4, ...p2pOptions },
  });

test("a stock viewer and one of ours share a VOD in both directions", async () => {
  const url = await world.vod("ts");
  const a = await stock("stock", url);
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 4);
  const b = await ours("ours", url);
  await b.until("has the stock viewer as a peer", ({ peers }) => peers === 1);
  // What the stock viewer did not hold yet when they met, ours fetches for both: how much it gets is not certain.
  await b.until("gets a segment from it", ({ p2pBytes }) => p2pBytes > 100_000);
  await a.close();
  const c = await stock("comes later", url);
  // What it fetches from the origin before it meets ours is not certain either.
  await c.until("gets a segment from ours", ({ p2pBytes }) => p2pBytes > 100_000);
  await b.until("noticed who left", ({ peers }) => peers === 1);
  const [report] = await world.verify([b, c]);
  const met = report.events.filter(({ name }) => name === "peerConnected").map(({ event }) => event.peer);
  assert.ok(met.length >= 2 && met.every((peer) => peer.startsWith("-PM0203-")), met.join());
});

test("a stock viewer learns what ours has although the first message of the channel was lost", async () => {
  const url = await world.vod("ts");
  const b = await ours("ours", url, { open: { before: () => (window.watch.loseFirst = true) } });
  await b.until("holds the beginning", ({ buffers }) => buffers >= 15);
  const c = await stock("comes later", url);
  await c.until("gets segments from ours", ({ p2pBytes }) => p2pBytes > 300_000);
  assert.ok((await b.eval(() => window.watch.lost)) > 0);
  await world.verify([b, c]);
});

test("one viewer of ours among four stock viewers gets from them and gives to them", async () => {
  const url = await world.vod("ts");
  const viewers = [];
  for (const i of [1, 2, 3]) {
    viewers.push(await stock(`stock ${i}`, url));
    await viewers.at(-1).until("plays", ({ started }) => started);
  }
  const b = await ours("ours", url);
  await b.until("gets segments", ({ peers, p2pBytes }) => peers === 3 && p2pBytes > 100_000);
  await viewers[0].close();
  viewers[0] = await stock("stock 4", url);
  viewers.push(await stock("stock 5", url));
  await b.until("gives them segments", ({ peers, uploadedBytes }) => peers === 4 && uploadedBytes > 100_000);
  const [{ stats }] = await world.verify([b, ...viewers]);
  const kinds = stats.peerList.map(({ peer }) => peer.slice(0, 8));
  assert.deepEqual(kinds, Array(4).fill("-PM0203-"));
});

test("sound of its own is shared as well, in a swarm of its own", async () => {
  const url = await world.vod("audio");
  const a = await stock("stock", url);
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 6);
  const b = await ours("ours", url);
  await b.until("is linked once for the picture and once for the sound", ({ peers }) => peers === 2);
  const tracks = async () => {
    const { events } = await b.report();
    const got = events.filter(({ name, event }) => name === "segmentLoaded" && event.p2pBytes > 0);
    return new Set(got.map(({ event }) => event.key.track)).size;
  };
  await until("both come from the stock viewer", async () => (await tracks()) === 2);
  await world.verify([a, b]);
});

test("without the option nobody of another kind is met", async () => {
  const url = await world.vod("ts");
  const a = await stock("stock", url);
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 4);
  const b = await world.play("ours", url);
  await b.until("plays on", ({ position, trackers }) => position > 4 && trackers[0] === "connected");
  const [report] = await world.verify([b]);
  assert.equal(report.peers, 0);
  assert.equal(report.p2pBytes, 0);
});

test("two stock viewers and two of ours share a live stream through bittorrent-tracker", async () => {
  const tracker = await startReferenceTracker();
  try {
    const url = await world.live({ window: 8 });
    const trackers = [tracker.url];
    const viewers = [];
    for (const [play, name] of [
      [stock, "stock 1"],
      [ours, "ours 1"],
      [stock, "stock 2"],
      [ours, "ours 2"],
    ]) {
      viewers.push(await play(name, url, { trackers }));
      await viewers.at(-1).until("plays", ({ started }) => started);
    }
    for (const viewer of viewers) await viewer.until("has two peers or more", ({ peers }) => peers >= 2);
    const statuses = () => Promise.all(viewers.map((viewer) => viewer.status()));
    const total = (list, key, kind) =>
      list.filter((_, i) => i % 2 === kind).reduce((sum, it) => sum + it[key], 0);
    await until(
      "both kinds give and take",
      async () => {
        const now = await statuses();
        const both = ["p2pBytes", "uploadedBytes"];
        return both.every((key) => [0, 1].every((kind) => total(now, key, kind) > 300_000));
      },
      { explain: async () => JSON.stringify(await statuses()) },
    );
    const reports = await world.verify(viewers);
    for (const report of [reports[1], reports[3]]) {
      const peers = report.stats.peerList.map(({ peer }) => peer);
      const own = peers.filter((peer) => peer.startsWith("-HS"));
      assert.ok(own.length <= 1, `one link to the other viewer of ours: ${peers}`);
      assert.ok(
        peers.some((peer) => peer.startsWith("-PM")),
        peers.join(),
      );
    }
  } finally {
    // It waits for those who are connected.
    await world.closeViewers();
    await tracker.close();
  }
});
