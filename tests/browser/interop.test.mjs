// One swarm with p2p-media-loader as it is published: pages of both kinds share a stream in both directions.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { startTestWorld } from "./harness/setup.mjs";

let world;
before(async () => {
  world = await startTestWorld();
});
afterEach(() => world.closeViewers());
after(() => world?.close());

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
  await b.until("gets segments from it", ({ p2pBytes }) => p2pBytes > 300_000);
  await a.close();
  await b.until("notices that it left", ({ peers }) => peers === 0);
  const c = await stock("comes later", url);
  await c.until("gets segments from ours", ({ p2pBytes }) => p2pBytes > 300_000);
  const [report] = await world.verify([b, c]);
  const met = report.events.filter(({ name }) => name === "peerConnected").map(({ event }) => event.peer);
  assert.ok(met.length >= 2 && met.every((peer) => peer.startsWith("-PM0203-")), met.join());
});

test("without the option nobody of another kind is met", async () => {
  const url = await world.vod("ts");
  const a = await stock("stock", url);
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 4);
  const b = await world.play("ours", url);
  await b.until("plays on", ({ position, trackers }) => position > 6 && trackers[0] === "connected");
  const [report] = await world.verify([b]);
  assert.equal(report.peers, 0);
  assert.equal(report.p2pBytes, 0);
});
