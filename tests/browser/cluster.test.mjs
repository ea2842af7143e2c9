// Two trackers as one over a NATS server: viewers on different nodes share a stream, and who loses its node finds another.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startNats } from "../tracker/nats.mjs";
import { useTestWorld, world } from "./harness/setup.mjs";
import { startTracker } from "./harness/tracker.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();
let nats;
let nodes;
before(async () => {
  nats = await startNats();
  nodes = await Promise.all([0, 1].map(() => startTracker({ args: ["--cluster", nats.url] })));
});
after(async () => {
  for (const node of nodes ?? []) await node.close();
  await nats?.close();
});

/** The tracker that a viewer uses, once it is connected. */
const nodeOf = (viewer) =>
  viewer.eval(() => {
    const [tracker, ...more] = window.viewer.state.p2p.stats().trackers;
    return !more.length && tracker.state === "connected" ? tracker.url : undefined;
  });

test("viewers on different nodes meet and exchange segments", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { trackers: [nodes[0].url] });
  await a.until("holds the beginning", ({ cached, started }) => started && cached >= 4);
  const b = await world.play("b", url, { trackers: [nodes[1].url] });
  await b.until("has a peer", ({ peers }) => peers === 1);
  await b.until("gets segments from it", ({ p2pBytes }) => p2pBytes > 300_000);
  await b.until("plays on", ({ position }) => position > 5);
  assert.deepEqual([await nodeOf(a), await nodeOf(b)], [nodes[0].url, nodes[1].url]);
  await world.verify([a, b]);
});

test("a viewer whose node dies is at another within five seconds, and newcomers find it there", async () => {
  const url = await world.vod("ts");
  const trackers = [nodes.map((node) => node.url)];
  const a = await world.play("a", url, { trackers });
  await a.until("holds the beginning", ({ cached, started }) => started && cached >= 4);
  const first = await until("a is connected", () => nodeOf(a));
  const [dead, alive] = first === nodes[0].url ? nodes : [nodes[1], nodes[0]];
  await dead.kill();
  const killedAt = performance.now();
  await until("a is at the other node", async () => (await nodeOf(a)) === alive.url, { everyMs: 50 });
  const tookMs = performance.now() - killedAt;
  assert.ok(tookMs < 5000, `it took ${Math.round(tookMs)} ms`);

  // It may choose the dead node first: what it fetches meanwhile must not be everything.
  const hlsConfig = { maxBufferLength: 4, maxMaxBufferLength: 4 };
  const b = await world.play("b", url, { trackers, hlsConfig });
  await b.until("gets segments from a", ({ p2pBytes }) => p2pBytes > 300_000);
  await world.verify([a, b]);
  await dead.restart();
});
