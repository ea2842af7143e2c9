// The stock WebTorrent client against our tracker: real clients, real WebRTC.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startTracker } from "../browser/harness/tracker.mjs";
import { Client } from "./webrtc.mjs";

let tracker;
let folder;
const clients = [];

before(async () => {
  // Unlike browsers, the native library lists every address of the machine, several times: more than the 20 candidates
  // that are allowed by default.
  folder = await mkdtemp(path.join(tmpdir(), "hlswarm-"));
  const config = path.join(folder, "tracker.toml");
  await writeFile(config, "[limits]\nsdp_candidates = 200\nsdp_bytes = 32768\n");
  tracker = await startTracker({ args: ["--config", config] });
});

after(async () => {
  for (const client of clients) client.destroy();
  await tracker?.close();
  if (folder) await rm(folder, { recursive: true });
  // The native WebRTC library keeps threads that would keep the process.
  setTimeout(() => process.exit(), 500).unref();
});

/** A client of its own WebSocket: the library shares one per URL, so each gets another query. */
function newClient(infoHash) {
  const client = new Client({
    infoHash,
    peerId: Buffer.concat([Buffer.from("-WW0200-"), randomBytes(12)]),
    announce: [`${tracker.url}?${clients.length}`],
    // Where a TCP peer would listen; the library asks for it.
    port: 6881,
    rtcConfig: { iceServers: [] },
  });
  clients.push(client);
  client.warnings = [];
  client.on("warning", (warning) => client.warnings.push(warning.message));
  client.on("error", (error) => client.warnings.push(error.message));
  return client;
}

const within = (promise, what) =>
  Promise.race([
    promise,
    new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`no ${what} within 30 s`)), 30_000).unref();
    }),
  ]);

test("two clients meet and their data channel carries data", async () => {
  const infoHash = randomBytes(20);
  const first = newClient(infoHash);
  first.start();
  const [update] = await within(once(first, "update"), "reply");
  assert.equal(update.incomplete, 1);
  assert.equal(update.complete, 0);

  const second = newClient(infoHash);
  const met = [once(first, "peer"), once(second, "peer")];
  second.start();
  const [[a], [b]] = await within(Promise.all(met), "peer");
  const connected = (peer) => (peer.connected ? undefined : once(peer, "connect"));
  await within(Promise.all([connected(a), connected(b)]), "connection");
  const heard = once(b, "data");
  a.send("over the channel");
  const [data] = await within(heard, "data");
  assert.equal(Buffer.from(data).toString(), "over the channel");
  assert.deepEqual([first.warnings, second.warnings], [[], []]);
  a.destroy();
  b.destroy();
});

test("complete, stop and scrape are understood", async () => {
  const infoHash = randomBytes(20);
  const [first, second] = [newClient(infoHash), newClient(infoHash)];
  let reply = once(first, "update");
  first.start({ left: 100 });
  await within(reply, "reply");
  reply = once(second, "update");
  second.start({ left: 100 });
  assert.equal((await within(reply, "reply"))[0].incomplete, 2);

  reply = once(first, "update");
  first.complete();
  const [completed] = await within(reply, "reply");
  assert.deepEqual([completed.complete, completed.incomplete], [1, 1]);

  const scraped = once(second, "scrape");
  second.scrape();
  const [sizes] = await within(scraped, "scrape");
  assert.deepEqual([sizes.complete, sizes.incomplete, sizes.downloaded], [1, 1, 1]);

  reply = once(first, "update");
  first.stop();
  const [stopped] = await within(reply, "reply");
  assert.deepEqual([stopped.complete, stopped.incomplete], [0, 1]);
  assert.deepEqual([first.warnings, second.warnings], [[], []]);
});

test("a refusal is a warning and the client stays connected", async () => {
  const client = newClient(randomBytes(20));
  let reply = once(client, "update");
  client.start();
  await within(reply, "reply");
  const socket = client._trackers[0].socket;
  const warned = once(client, "warning");
  socket.send(
    JSON.stringify({
      action: "announce",
      info_hash: client._infoHashBinary,
      peer_id: "too short",
      offers: [],
    }),
  );
  const [warning] = await within(warned, "warning");
  assert.match(warning.message, /^peer_id is "too short"; allowed is /);
  reply = once(client, "update");
  client.update();
  await within(reply, "reply after the refusal");
});
