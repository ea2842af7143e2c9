// The same conversations with our tracker and with the reference, `bittorrent-tracker`'s server: the same messages must
// come back, up to what differs on purpose and is named here.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import Server from "bittorrent-tracker/server";
import WebSocket from "ws";
import { startTracker } from "../browser/harness/tracker.mjs";

let ours;
let reference;

before(async () => {
  ours = await startTracker();
  reference = new Server({ http: false, udp: false, ws: true, stats: false });
  await new Promise((resolve) => reference.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  await ours?.close();
  await new Promise((resolve) => reference.close(resolve));
});

const urls = () => [ours.url, `ws://127.0.0.1:${reference.ws.address().port}/`];

class Peer {
  static async connect(url) {
    const peer = new Peer();
    peer.received = [];
    peer.socket = new WebSocket(url);
    peer.socket.on("message", (data) => peer.received.push(JSON.parse(data)));
    await new Promise((resolve, reject) => peer.socket.once("open", resolve).once("error", reject));
    return peer;
  }

  send(message) {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Everything received so far, once the server has worked through what was sent before. */
  async take() {
    const probe = "probe-of-20-bytes-ok";
    this.send({ action: "scrape", info_hash: probe });
    for (;;) {
      const at = this.received.findIndex((message) => message.files?.[probe] || message.files?.[hex(probe)]);
      if (at >= 0) {
        this.received.splice(at, 1);
        return this.received.splice(0);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

const hex = (text) => Buffer.from(text, "latin1").toString("hex");
const id = (name) => name.padEnd(20, "-");
const offer = (name) => ({ offer: { type: "offer", sdp: `v=0\r\n${name}` }, offer_id: id(name) });
const announce = (swarm, name, more = {}) => ({
  action: "announce",
  info_hash: id(swarm),
  peer_id: id(name),
  numwant: more.offers?.length ?? 0,
  uploaded: 0,
  downloaded: 0,
  offers: [],
  ...more,
});
const answer = (swarm, name, to, offerId) => ({
  action: "announce",
  info_hash: id(swarm),
  peer_id: id(name),
  to_peer_id: id(to),
  answer: { type: "answer", sdp: `v=0\r\n${name}` },
  offer_id: offerId,
});
const scrape = (infoHash) => ({ action: "scrape", info_hash: infoHash });

/** What may differ: the interval is the operator's, and ours names a minimum and adds no scrape flags. */
function comparable(message) {
  const { interval, "min interval": _minimum, flags: _flags, ...rest } = message;
  return { ...rest, ...(interval === undefined ? {} : { interval: interval > 0 }) };
}

let conversations = 0;

/** Runs a conversation with both. Each step is the name of a peer and its message. Returns what ours said. */
async function compare(steps) {
  conversations += 1;
  const swarm = `swarm${conversations}`;
  const logs = [];
  for (const url of urls()) {
    const peers = new Map();
    const log = [];
    for (const [name, make] of steps(swarm)) {
      if (!peers.has(name)) peers.set(name, await Peer.connect(url));
      if (make === "vanish") {
        const socket = peers.get(name).socket;
        socket.terminate();
        await new Promise((resolve) => socket.once("close", resolve));
        peers.delete(name);
        // The server hears of it a moment later.
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      peers.get(name).send(make);
      await peers
        .get(name)
        .take()
        .then((own) => log.push([name, "own", own.map(comparable)]));
      for (const [other, peer] of peers) {
        if (other !== name) log.push([name, other, (await peer.take()).map(comparable)]);
      }
    }
    for (const peer of peers.values()) peer.socket.close();
    logs.push(log);
  }
  const [mine, theirs] = logs;
  assert.deepEqual(mine, theirs);
  return mine;
}

describe("the same conversation as with the reference", () => {
  test("join, offer, answer, leave", async () => {
    const log = await compare((swarm) => [
      ["anna", announce(swarm, "anna", { event: "started", offers: [offer("a1"), offer("a2")], left: 7 })],
      ["ben", announce(swarm, "ben", { event: "started", offers: [offer("b1"), offer("b2")], left: 7 })],
      ["anna", answer(swarm, "anna", "ben", id("b1"))],
      ["ben", announce(swarm, "ben", { offers: [offer("b3")] })],
      ["ben", announce(swarm, "ben", { event: "stopped" })],
      ["anna", announce(swarm, "anna", {})],
    ]);
    assert.equal(log.flatMap(([, , messages]) => messages).filter((message) => message.answer).length, 1);
  });

  test("seeders, completion and scrapes", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", { event: "started", left: 0 })],
      ["ben", announce(swarm, "ben", { event: "started", left: 5 })],
      ["ben", announce(swarm, "ben", { event: "update", left: 3 })],
      ["ben", announce(swarm, "ben", { event: "completed", left: 0 })],
      ["anna", announce(swarm, "anna", { event: "paused" })],
      ["anna", announce(swarm, "anna", { event: "stopped" })],
    ]);
  });

  test("a peer that vanishes", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", { left: 1 })],
      ["ben", announce(swarm, "ben", { left: 1 })],
      ["ben", "vanish"],
      ["anna", announce(swarm, "anna", { left: 1, offers: [offer("a1")] })],
      ["anna", answer(swarm, "anna", "ben", id("b1"))],
    ]);
  });

  test("several swarms on one socket", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", {})],
      ["anna", announce(`${swarm}x`, "anna", {})],
      ["ben", announce(`${swarm}x`, "ben", { offers: [offer("b1")] })],
      ["anna", answer(`${swarm}x`, "anna", "ben", id("b1"))],
      ["anna", "vanish"],
      ["ben", announce(`${swarm}x`, "ben", {})],
    ]);
  });

  test("every event, from both kinds of members", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", { event: "started", left: 9 })],
      ["ben", announce(swarm, "ben", { event: "started", left: 0 })],
      ...["update", "paused", "", "completed", "update"].flatMap((event, place) => [
        // To the reference, who has completed never goes back; ours believes what `left` says.
        ["anna", announce(swarm, "anna", { event, left: place < 3 ? 3 : 0 })],
        ["ben", announce(swarm, "ben", { event, left: 0 })],
      ]),
      ["anna", announce(swarm, "anna", { event: "stopped", left: 0 })],
      ["ben", announce(swarm, "ben", { event: "stopped", left: 0 })],
      ["ben", announce(swarm, "ben", { event: "started", left: 1 })],
    ]);
  });

  test("events without their fields", async () => {
    await compare((swarm) => [
      ["anna", { action: "announce", info_hash: id(swarm), peer_id: id("anna"), offers: [] }],
      ["ben", { action: "announce", info_hash: id(swarm), peer_id: id("ben"), event: "started" }],
      ["ben", { action: "announce", info_hash: id(swarm), peer_id: id("ben"), event: "stopped" }],
      ["anna", announce(swarm, "anna", { uploaded: 1e15, downloaded: -1, left: 1e300 })],
    ]);
  });

  test("numwant as it comes", async () => {
    // With one other member both hand out one offer at most; how many were asked for does not matter then.
    for (const numwant of [1, 5, 10, 50]) {
      const log = await compare((swarm) => [
        ["anna", announce(swarm, "anna", { left: 1 })],
        ["ben", announce(swarm, "ben", { left: 1, numwant, offers: [offer("b1"), offer("b2")] })],
        ["ben", announce(swarm, "ben", { left: 1, numwant, offers: [offer("b3")] })],
      ]);
      const offers = log
        .filter(([by, to]) => by === "ben" && to === "anna")
        .flatMap(([, , messages]) => messages);
      assert.equal(offers.length, 2);
    }
  });

  test("a member that joins twice, leaves twice, and answers after it has left", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", { event: "started", left: 1 })],
      ["anna", announce(swarm, "anna", { event: "started", left: 1 })],
      ["ben", announce(swarm, "ben", { event: "started", left: 1, offers: [offer("b1")] })],
      ["anna", announce(swarm, "anna", { event: "stopped", left: 1 })],
      ["anna", announce(swarm, "anna", { event: "stopped", left: 1 })],
      ["ben", announce(swarm, "ben", { left: 1, offers: [offer("b2")] })],
    ]);
  });

  test("scrapes of one, of several, of none that is known", async () => {
    await compare((swarm) => [
      ["anna", announce(swarm, "anna", { event: "started", left: 0 })],
      ["ben", announce(swarm, "ben", { event: "started", left: 4 })],
      ["ben", announce(swarm, "ben", { event: "completed", left: 0 })],
      ["carl", announce(`${swarm}x`, "carl", { event: "started", left: 4 })],
    ]);
    const swarm = `swarm${conversations}`;
    const answers = [];
    for (const url of urls()) {
      const peers = await Promise.all([Peer.connect(url), Peer.connect(url)]);
      for (const [place, peer] of peers.entries()) {
        peer.send(announce(`${swarm}s${place}`, `peer${place}`, { event: "started", left: place }));
        await peer.take();
      }
      const seen = [];
      for (const infoHash of [
        id(`${swarm}s0`),
        [id(`${swarm}s0`)],
        [id(`${swarm}s0`), id(`${swarm}s1`)],
        [id("nobody-is-here"), id(`${swarm}s1`)],
      ]) {
        peers[0].send(scrape(infoHash));
        const { files } = (await peers[0].take())[0];
        // The reference names swarms in hex, and says that as many have downloaded as are complete.
        const named = Object.entries(files).map(([name, { complete, incomplete }]) => [
          name.length === 40 ? name : hex(name),
          complete,
          incomplete,
        ]);
        seen.push(named.sort());
      }
      for (const peer of peers) peer.socket.close();
      answers.push(seen);
    }
    assert.deepEqual(answers[0], answers[1]);
  });

  test("many swarms on one socket, each with its own members", async () => {
    await compare((swarm) => [
      ...Array.from({ length: 8 }, (_, n) => ["anna", announce(`${swarm}-${n}`, "anna", { left: n })]),
      ["ben", announce(`${swarm}-3`, "ben", { left: 1, offers: [offer("b1")] })],
      ["carl", announce(`${swarm}-5`, "carl", { left: 1, offers: [offer("c1")] })],
      ["anna", answer(`${swarm}-3`, "anna", "ben", id("b1"))],
      ["anna", answer(`${swarm}-5`, "anna", "carl", id("c1"))],
      ["anna", announce(`${swarm}-3`, "anna", { event: "stopped", left: 3 })],
      ["ben", announce(`${swarm}-3`, "ben", { left: 1, offers: [offer("b2")] })],
      ["carl", announce(`${swarm}-5`, "carl", { left: 1, offers: [offer("c2")] })],
    ]);
  });

  test("ids of all bytes", async () => {
    const bytes = (from) =>
      Array.from({ length: 20 }, (_, n) => String.fromCharCode((from + 7 * n) % 256)).join("");
    await compare((swarm) => [
      ["anna", { ...announce(swarm, "anna"), info_hash: bytes(conversations), peer_id: bytes(100) }],
      [
        "ben",
        {
          ...announce(swarm, "ben"),
          info_hash: bytes(conversations),
          peer_id: bytes(200),
          offers: [{ offer: { type: "offer", sdp: "ü\u0001漢" }, offer_id: bytes(3) }],
        },
      ],
      [
        "anna",
        {
          ...answer(swarm, "anna", "ben", bytes(3)),
          info_hash: bytes(conversations),
          peer_id: bytes(100),
          to_peer_id: bytes(200),
        },
      ],
    ]);
  });
});

describe("where the reference is not sane, ours replies and stays open", () => {
  for (const [what, message] of [
    ["no action", { info_hash: id("x"), peer_id: id("y") }],
    ["an info_hash that is too short", announce("x", "y", { info_hash: "short" })],
    ["text null", "null"],
    ["offers that are null", announce("x", "y", { offers: [null] })],
    ["a scrape of a number", scrape(7)],
    ["a scrape of an object", scrape({})],
    ["a scrape of nothing", scrape([])],
    ["no JSON", "{"],
  ]) {
    test(what, async () => {
      const peer = await Peer.connect(ours.url);
      peer.send(message);
      const [reply, ...rest] = await peer.take();
      assert.deepEqual(rest, []);
      assert.match(reply.action, /^(announce|scrape)$/);
      assert.equal(typeof reply.info_hash, "string");
      assert.equal(typeof reply["failure reason"], "string");
      assert.equal(peer.socket.readyState, WebSocket.OPEN);
      peer.socket.close();
    });
  }
});
