// Our tracker serves foreign clients: two pages with p2p-media-loader as it is published.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";

useTestWorld();

test("two p2p-media-loader pages meet and exchange segments through our tracker", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { mode: "p2pml" });
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 4);
  const b = await world.play("b", url, { mode: "p2pml" });
  await b.until("gets segments from the peer", ({ p2pBytes, peers }) => peers === 1 && p2pBytes > 300_000);
  await a.until("sent them", ({ uploadedBytes }) => uploadedBytes > 300_000);
  const reports = await world.verify([a, b]);
  assert.ok(reports[1].p2pBytes <= reports[0].uploadedBytes);
});
