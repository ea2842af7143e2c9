// Hostile peers against pages that were set up for what takes long, or for other viewers than ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import { attack, swarmsOf } from "./harness/attack.mjs";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const everything = { hlsConfig: { maxBufferLength: 120 } };
const holdsAll = ({ cached }) => cached >= 14;

test("who takes all places makes room for a latecomer", { timeout: 180_000 }, async () => {
  const url = await world.vod("ts");
  const limits = { maxPeers: 3, replaceWorstPeerMs: 1000 };
  const victim = await world.play("victim", url, { ...everything, p2pOptions: { limits } });
  await victim.until("holds it all", holdsAll);
  const attacked = attack(world, victim, url, { names: ["places"], places: 3 });
  await victim.until("has no place left", ({ peers }) => peers === 3);
  // So long nobody who is new is sent away.
  await sleep(31_000);
  const latecomer = await world.play("latecomer", url, {
    hlsConfig: { maxBufferLength: 4, maxMaxBufferLength: 4 },
  });
  await latecomer.until("is let in", ({ p2pBytes }) => p2pBytes > 100_000, { timeoutMs: 90_000 });
  const [{ replaced }] = await attacked;
  assert.equal(replaced, 1);
  await world.verify([victim, latecomer]);
});

test("hostile viewers of p2p-media-loader are held in bounds too", { timeout: 120_000 }, async () => {
  const url = await world.vod("ts");
  const victim = await world.play("victim", url, {
    ...everything,
    p2pOptions: { interop: "p2p-media-loader" },
  });
  await victim.until("holds it all", holdsAll);
  const stock = await until("it is in a stock swarm", async () => (await swarmsOf(victim))[1]);
  const names = [
    "stock: a command without end",
    "stock: a command that is never finished",
    "stock: bytes of nothing",
  ];
  const results = await attack(world, victim, url, { names, ...stock });
  const [report] = await world.verify([victim]);
  const told = (n) =>
    JSON.stringify(
      report.events.filter(({ name, event }) => name === "peerClosed" && event.peer === results[n].peerId),
    );
  for (const { name, opened } of results) assert.ok(opened, `${name}: no channel came about`);
  assert.match(told(0), /more than 65536 bytes/);
  assert.ok(results[1].stays, told(1));
  assert.match(told(2), /violation/);
  await victim.until("is alone", ({ peers }) => peers === 0);
});
