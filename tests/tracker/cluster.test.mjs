// Three trackers as one over real NATS servers, and what breaks.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { startTracker } from "../browser/harness/tracker.mjs";
import { listenToNats, startNats, startProxy } from "./nats.mjs";
import { connectViewer, meet, until } from "./viewer.mjs";

const running = [];
const folder = await mkdtemp(path.join(tmpdir(), "hlswarm-"));
const config = path.join(folder, "tracker.toml");
// All clients are at one address, and tests announce more often than viewers do.
await writeFile(config, "[limits]\nmin_interval_secs = 0\nconnections_per_ip = 0\n");

const keep = (thing) => {
  running.push(thing);
  return thing;
};

after(async () => {
  for (const thing of running.reverse()) await thing.close();
  await rm(folder, { recursive: true });
});

const startNode = async (...urls) =>
  keep(await startTracker({ args: ["--config", config, ...urls.flatMap((url) => ["--cluster", url])] }));

/** Three nodes on one server that have heard of each other. */
async function startCluster(nats) {
  const nodes = [];
  for (let number = 0; number < 3; number++) nodes.push(await startNode(nats.url));
  for (const node of nodes) await until(async () => (await metric(node, "cluster_nodes")) === 2, "all nodes");
  return nodes;
}

async function metric(node, name) {
  const page = await (await fetch(`${node.httpUrl}/metrics`)).text();
  const line = page.split("\n").find((text) => text.startsWith(`hlswarm_tracker_${name} `));
  assert.ok(line, `no metric ${name}`);
  return Number(line.split(" ").at(-1));
}

let swarms = 0;
let names = 0;
const newSwarm = () => `swarm-${`${++swarms}`.padStart(14, "0")}`;

async function viewers(nodes, swarm = newSwarm()) {
  const all = [];
  for (const node of nodes) {
    const viewer = keep(await connectViewer(node.url, `viewer-${++names}`, swarm));
    await viewer.announce();
    all.push(viewer);
  }
  return all;
}

test("viewers on different nodes meet, and each node knows how many there are", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const all = await viewers(nodes);
  for (const viewer of all) await viewer.size(3);
  for (const [from, to] of [
    [0, 1],
    [1, 2],
    [2, 0],
  ]) {
    await meet(all[from], all[to]);
  }
  assert.equal(await metric(nodes[0], "bus_connected"), 1);
  assert.ok((await metric(nodes[0], 'cluster_offers_total{what="taken"}')) > 0);
  assert.ok((await metric(nodes[0], 'bus_messages_total{direction="sent"}')) > 0);
  assert.equal(await metric(nodes[0], "cluster_peers"), 2);
  all[1].close();
  await all[0].size(2);
});

test("a node that is killed is forgotten within seconds, and its successor is found", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const swarm = newSwarm();
  const [a, b, c] = await viewers(nodes, swarm);
  await a.size(3);
  await nodes[2].kill();
  await a.size(2, 6_000);
  await b.size(2);
  await meet(a, b);
  assert.equal(await metric(nodes[0], "cluster_lost_nodes_total"), 1);
  c.close();
  await nodes[2].restart();
  const [again] = await viewers([nodes[2]], swarm);
  await again.size(3);
  await meet(again, a);
});

test("without the bus each node goes on alone and says so; when it is back they are one", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const swarm = newSwarm();
  const [a, b, c] = await viewers(nodes, swarm);
  await a.size(3);
  await nats.kill();
  for (const node of nodes) await until(async () => (await metric(node, "bus_connected")) === 0, "no bus");
  await a.size(1, 6_000);
  // An island still introduces its own viewers.
  const [neighbour] = await viewers([nodes[0]], swarm);
  await meet(neighbour, a);
  const health = await fetch(`${nodes[0].httpUrl}/readyz`);
  assert.equal(health.status, 200, "it serves");
  await nats.restart();
  for (const viewer of [a, b, c]) await viewer.size(4);
  await meet(a, c);
});

test("a node that starts before the bus joins when it comes up", async () => {
  const nats = keep(await startNats());
  await nats.kill();
  const nodes = [await startNode(nats.url), await startNode(nats.url)];
  const [a, b] = await viewers(nodes);
  assert.equal((await a.announce()).incomplete, 1);
  await nats.restart();
  await a.size(2);
  await meet(a, b);
});

test("a divided cluster goes on in parts and grows together again", async () => {
  const nats = keep(await startNats());
  const proxy = keep(await startProxy(nats.port));
  const nodes = [await startNode(nats.url), await startNode(nats.url), await startNode(proxy.url)];
  const [a, b, c] = await viewers(nodes);
  await c.size(3);
  await a.size(3);
  proxy.cut();
  await a.size(2, 8_000);
  await c.size(1, 8_000);
  await meet(a, b);
  // Its connection is silent, not closed: it must find out by itself.
  await until(async () => (await metric(nodes[2], "bus_connected")) === 0, "the node notices", 15_000);
  proxy.mend();
  await c.size(3);
  await meet(c, a);
  await meet(b, c);
});

test("two servers of one cluster: the nodes go over to the one that is left", async () => {
  const nats = [keep(await startNats()), keep(await startNats())];
  const nodes = [];
  for (let number = 0; number < 2; number++) nodes.push(await startNode(nats[0].url, nats[1].url));
  await nats[0].kill();
  const [a, b] = await viewers(nodes);
  await a.size(2);
  await meet(a, b);
});

test("late and repeated messages do no harm, nor do those of strangers", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const line = keep(await listenToNats(nats.port));
  const swarm = newSwarm();
  const [a, b, c] = await viewers(nodes, swarm);
  await a.size(3);
  await meet(a, b);
  c.close();
  await a.size(2);
  const before = await metric(nodes[0], "cluster_stale_total");
  const recorded = [...line.heard];
  assert.ok(recorded.some(({ subject }) => subject === "hlswarm.all"));
  assert.ok(recorded.some(({ subject }) => subject.startsWith("hlswarm.node.")));
  for (const { subject, payload } of [...recorded, ...recorded.reverse()]) line.say(subject, payload);
  for (const payload of [
    Buffer.alloc(0),
    Buffer.from("hello"),
    Buffer.alloc(300_000, 1),
    Buffer.alloc(64, 1),
  ]) {
    line.say("hlswarm.all", payload);
  }
  await until(async () => (await metric(nodes[0], "cluster_stale_total")) > before, "it was heard");
  await until(async () => (await metric(nodes[0], "cluster_refused_total")) >= 4, "strangers are refused");
  // What a node said itself does not come back to it unless somebody else says it.
  const forged = 'bus_dropped_total{reason="forged"}';
  await until(async () => (await metric(nodes[0], forged)) > 0, "its own words are not believed");
  await a.size(2);
  assert.equal(a.messages.filter((message) => message.answer).length, 0, "no answer twice");
  a.messages.length = 0;
  b.messages.length = 0;
  await meet(b, a);
});

test("one peer on two nodes is not introduced to itself", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const swarm = newSwarm();
  const twins = [];
  for (const node of nodes.slice(0, 2)) twins.push(keep(await connectViewer(node.url, "twin", swarm)));
  for (const twin of twins) await twin.announce();
  await twins[0].size(2);
  const [other] = await viewers([nodes[2]], swarm);
  await twins[1].size(3);
  for (const twin of twins) await twin.announce(5);
  await meet(twins[0], other);
  for (const twin of twins) assert.equal(twin.messages.filter((message) => message.offer).length, 0);
});

test("passwords are used, and a wrong one leaves the node alone", async () => {
  const nats = keep(await startNats({ args: ["--user", "hls", "--pass", "secret"] }));
  const url = (password) => `nats://hls:${password}@127.0.0.1:${nats.port}`;
  const nodes = [
    await startNode(url("secret")),
    await startNode(url("secret")),
    await startNode(url("wrong")),
  ];
  const [a, b, c] = await viewers(nodes);
  await a.size(2);
  await meet(a, b);
  await until(() => nodes[2].log().includes("the bus is not to be reached"), "it says so");
  assert.ok(!nodes[2].log().includes("wrong@"), "passwords do not get into the log");
  assert.equal((await c.announce()).incomplete, 1);
});

test("a tracker that drains says goodbye at once", async () => {
  const nats = keep(await startNats());
  const nodes = await startCluster(nats);
  const [a, , c] = await viewers(nodes);
  await a.size(3);
  nodes[2].signal("SIGTERM");
  await a.size(2, 2_500);
  c.close();
});
