// What a viewer gives away, and who decides on it: consent, addresses, the uplink.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";
import { startTracker } from "./harness/tracker.mjs";
import { startTurn } from "./harness/turn.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const shortBuffer = { maxBufferLength: 4, maxMaxBufferLength: 4 };
const everything = { hlsConfig: { maxBufferLength: 120 } };
const holdsAll = ({ cached }) => cached >= 14;

/** What the page has ever opened towards others. */
const contacts = (viewer) =>
  viewer.eval(() => ({ sockets: window.watch.sockets.length, connections: window.watch.connections.length }));

test("before the user agrees nobody is contacted, and a no withdraws at once", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, everything);
  await a.until("holds it all", holdsAll);
  const rtcConfig = { iceServers: [{ urls: "stun:127.0.0.1:9" }] };
  const p2pOptions = { loader: { consentRequired: true, rtcConfig } };
  const b = await world.play("b", url, { hlsConfig: shortBuffer, p2pOptions });
  await b.until("plays", ({ position }) => position > 3);
  assert.deepEqual(await contacts(b), { sockets: 0, connections: 0 });
  await b.eval(() => window.viewer.state.p2p.setP2P(true));
  const waiting = await b.eval(() => window.viewer.state.p2p.stats());
  assert.deepEqual([waiting.p2pEnabled, waiting.awaitsConsent], [false, true]);
  assert.deepEqual(await contacts(b), { sockets: 0, connections: 0 });

  await b.eval(() => window.viewer.state.p2p.setConsent(true));
  await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 100_000);

  await b.eval(() => window.viewer.state.p2p.setConsent(false));
  await b.until("closed its connections", ({ connections, peers }) => connections === 0 && peers === 0);
  await a.until("was told", ({ peers }) => peers === 0);
  const open = await b.eval(
    () => window.watch.sockets.filter(({ readyState }) => readyState < WebSocket.CLOSING).length,
  );
  assert.equal(open, 0);
  const { position } = await b.status();
  await b.until("plays on", (now) => now.ended || now.position > position + 2);
  await world.verify([a, b]);
});

test("in relay-only mode the tracker sees relays and no other address, and segments flow", async () => {
  const turn = await startTurn();
  try {
    const url = await world.vod("ts");
    const iceServers = [turn.iceServer];
    const options = [
      // Both ways to ask for it.
      { relayOnly: true, rtcConfig: { iceServers } },
      { rtcConfig: { iceServers, iceTransportPolicy: "relay" } },
    ];
    const a = await world.play("a", url, { ...everything, p2pOptions: { loader: options[0] } });
    await a.until("holds it all", holdsAll);
    const b = await world.play("b", url, { hlsConfig: shortBuffer, p2pOptions: { loader: options[1] } });
    await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 300_000);
    for (const viewer of [a, b]) {
      const said = (await viewer.eval(() => window.watch.sent)).join("\n");
      const candidates = said.match(/candidate:[^"\\]*/g) ?? [];
      assert.ok(candidates.length > 0, "candidates were told");
      for (const candidate of candidates) {
        assert.match(candidate, / typ relay raddr (0\.0\.0\.0|::) rport 0( |$)/, candidate);
      }
      const addresses = said.match(/IN IP[46] [^"\\\s]*/g) ?? [];
      for (const address of addresses) assert.match(address, /^IN IP4 (0\.0\.0\.0|127\.0\.0\.1)$/);
    }
    await world.verify([a, b]);
  } finally {
    await turn.close();
  }
});

test("relay-only mode without a TURN server is named, and playback goes on", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { p2pOptions: { loader: { relayOnly: true } } });
  const failure = await a.eval(() => window.viewer.state.p2p.ready.then(String, String));
  assert.match(failure, /loader\.relayOnly: true is not allowed; .*turn/);
  await a.until("plays", ({ position }) => position > 2);
  assert.deepEqual(await contacts(a), { sockets: 0, connections: 0 });
  await world.verify([a]);
});

test("nothing is uploaded where data is dear, less while the page is hidden, and all again when that ends", async () => {
  const url = await world.vod("ts");
  const before = () => {
    const connection = Object.assign(new EventTarget(), { saveData: true });
    Object.defineProperty(navigator, "connection", { value: connection });
  };
  const a = await world.play("a", url, { ...everything, open: { before } });
  await a.until("holds it all", holdsAll);
  const b = await world.play("b", url, { hlsConfig: shortBuffer });
  await b.until("meets the peer and plays", ({ peers, position }) => peers === 1 && position > 5);
  const stats = () => a.eval(() => window.viewer.state.p2p.stats());
  assert.equal((await stats()).uploadState, "metered");
  assert.equal((await stats()).uploadedBytes, 0);
  assert.equal((await b.status()).p2pBytes, 0);
  await a.eval(() => {
    navigator.connection.saveData = false;
    navigator.connection.dispatchEvent(new Event("change"));
  });
  assert.equal((await stats()).uploadState, "on");
  await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 100_000);
  const stateOn = (type) =>
    a.eval((type) => {
      navigator.connection.type = type;
      navigator.connection.dispatchEvent(new Event("change"));
      return window.viewer.state.p2p.stats().uploadState;
    }, type);
  assert.equal(await stateOn("cellular"), "metered");
  assert.equal(await stateOn("wifi"), "on");
  const stateWhen = (state) =>
    a.eval((state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
      return window.viewer.state.p2p.stats().uploadState;
    }, state);
  assert.equal(await stateWhen("hidden"), "reduced");
  assert.equal(await stateWhen("visible"), "on");
  await world.verify([a, b]);
});

test("a bound on the uplink holds across two films of one page", async () => {
  const [first, second] = [await world.vod("ts"), await world.vod("fmp4")];
  const p2pOptions = { loader: { uploadBytesTotal: 400_000 } };
  const a = await world.play("a", first, { ...everything, p2pOptions });
  await a.until("holds it all", holdsAll);
  const b = await world.play("b", first, { hlsConfig: shortBuffer });
  const spent = () => a.eval(() => window.viewer.state.p2p.stats().uploadState === "spent");
  await until("the first viewer has uploaded what it may", spent);
  await a.eval((url) => window.viewer.state.hls.loadSource(url), second);
  const stats = () => a.eval(() => window.viewer.state.p2p.stats());
  await until("the second film is there", async () => (await stats()).cache.segments >= 3);
  const now = await stats();
  assert.ok(now.uploadedBytes > 0 && now.uploadedBytes <= 400_000, `${now.uploadedBytes} bytes`);
  assert.equal(now.uploadLeftBytes, 400_000 - now.uploadedBytes);
  await b.until("plays on", ({ position }) => position > 5);
  await world.verify([b]);
});

test("who has no good token is told so, and meets the others when the page gives one", async () => {
  const secret = "a secret of the web server";
  const mint = (seconds) => {
    const claim = `1.${Math.floor(Date.now() / 1000) + seconds}.*.${randomBytes(16).toString("hex")}`;
    return `${claim}.${createHmac("sha256", secret).update(claim).digest("hex")}`;
  };
  const folder = await mkdtemp(path.join(tmpdir(), "hlswarm-"));
  let tracker;
  try {
    const config = path.join(folder, "tracker.toml");
    await writeFile(config, `[access]\ntoken_secrets = [${JSON.stringify(secret)}]\n`);
    tracker = await startTracker({ args: ["--config", config] });
    const url = await world.vod("ts");
    const play = (name, trackerToken, hlsConfig) =>
      world.play(name, url, { hlsConfig, trackers: [tracker.url], p2pOptions: { loader: { trackerToken } } });
    const a = await play("a", mint(3600), everything.hlsConfig);
    await a.until("holds it all", holdsAll);
    const b = await play("b", mint(-5), shortBuffer);
    await b.until("plays", ({ position }) => position > 1);
    const refusals = async () =>
      (await b.report()).events
        .filter(({ name }) => name === "trackerError")
        .map(({ event }) => event.message);
    const [refusal] = await until("b hears of the refusal", async () => {
      const messages = await refusals();
      return messages.length ? messages : undefined;
    });
    assert.match(refusal, /token expired \d+ s ago/);
    const { p2pBytes, peers } = await b.status();
    assert.deepEqual({ p2pBytes, peers }, { p2pBytes: 0, peers: 0 });

    await b.eval((token) => window.viewer.state.p2p.setTrackerToken(token), mint(3600));
    await b.until("gets segments from the peer", (now) => now.p2pBytes > 100_000);
    assert.equal((await contacts(b)).sockets, 1, "on the connection that it had");
    await world.verify([a, b]);
  } finally {
    await tracker?.close();
    await rm(folder, { recursive: true });
  }
});
