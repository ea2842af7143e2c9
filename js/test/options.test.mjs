import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { parseOptions } = await load("options.ts");

test("interop is taken out, and what it must be is said", () => {
  const parse = (interop) => {
    const { json, interop: parsed, problems } = parseOptions({ interop, segments: { swarmId: "x" } }, false);
    assert.equal(json.includes("interop"), false);
    return problems.length ? problems.join() : parsed;
  };
  for (const off of [undefined, null, false, ""]) assert.equal(parse(off), null);
  assert.deepEqual(parse("p2p-media-loader"), { version: "v2", swarmId: "x" });
  assert.deepEqual(parse({ with: "p2p-media-loader" }), { version: "v2", swarmId: "x" });
  assert.deepEqual(parse({ with: "p2p-media-loader", version: "v3" }), { version: "v3", swarmId: "x" });
  const allowed = /^interop: .* is not allowed; it must be "p2p-media-loader", or \{ with: /;
  for (const wrong of ["peertube", true, 5, { version: "v3" }, { with: "p2p-media-loader", version: "v1" }])
    assert.match(parse(wrong), allowed);
  assert.match(parse({ with: "p2p-media-loader", when: 1 }), allowed);
});

test("a hidden swarm cannot be shared with viewers who know it by its URL", () => {
  const segments = { swarmSecret: "not for the log" };
  const [problem, ...others] = parseOptions({ interop: "p2p-media-loader", segments }, false).problems;
  assert.equal(
    problem,
    'interop: "p2p-media-loader" is not allowed; it must be absent beside segments.swarmSecret',
  );
  assert.deepEqual(others, []);
  assert.deepEqual(parseOptions({ segments }, false).problems, []);
});

test("hooks are taken out, the rest stays as it is", () => {
  const validator = () => true;
  const storage = { store() {}, get() {}, remove() {} };
  const rtcConfig = { iceServers: [{ urls: "stun:stun.example.com" }] };
  const { json, hooks, problems } = parseOptions(
    {
      presets: "vod",
      segments: { swarmId: "x" },
      loader: {
        useP2P: undefined,
        cacheBytes: 5,
        segmentValidator: validator,
        segmentsStorage: storage,
        rtcConfig,
      },
    },
    false,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(JSON.parse(json), {
    presets: "vod",
    segments: { swarmId: "x" },
    loader: { cacheBytes: 5 },
  });
  assert.equal(hooks.segmentValidator, validator);
  assert.equal(hooks.segmentsStorage, storage);
  assert.equal(hooks.rtcConfig, rtcConfig);
});

test("unknown keys and wrong sections reach the engine, which says what is wrong with them", () => {
  assert.deepEqual(JSON.parse(parseOptions({ lodaer: { a: 1 }, loader: 7 }, false).json), {
    lodaer: { a: 1 },
    loader: 7,
  });
});

test("what JSON would lose or change is an error that names its place", () => {
  const { problems } = parseOptions(
    {
      segments: { swarmId: Symbol("s") },
      limits: { maxPeers: Number.NaN, maxTracks: 5n },
      loader: {
        cachedSegmentExpiration: Infinity,
        trackerAnnounce: ["wss://a.example", new URL("wss://b.example")],
      },
    },
    false,
  );
  assert.deepEqual(problems, [
    "segments.swarmId: Symbol(s) is not allowed; it must be plain data (text, number, true, false, list or object)",
    "limits.maxPeers: NaN is not allowed; it must be plain data (text, number, true, false, list or object)",
    "limits.maxTracks: 5 is not allowed; it must be plain data (text, number, true, false, list or object)",
    "loader.cachedSegmentExpiration: Infinity is not allowed; it must be plain data (text, number, true, false, list or object)",
    "loader.trackerAnnounce[1]: a URL is not allowed; it must be plain data (text, number, true, false, list or object)",
  ]);
});

test("hooks of the wrong kind are errors", () => {
  const { problems } = parseOptions(
    { loader: { segmentValidator: 5, segmentsStorage: { get() {} }, rtcConfig: "stun:x", xhrSetup: null } },
    false,
  );
  assert.deepEqual(problems, [
    "loader.segmentValidator: 5 is not allowed; it must be a function",
    "loader.xhrSetup: null is not allowed; it must be a function",
    "loader.segmentsStorage: an object is not allowed; it must be an object with store, get and remove",
    'loader.rtcConfig: "stun:x" is not allowed; it must be an RTCConfiguration object',
  ]);
});

test("phones keep less, unless the page says otherwise", () => {
  const cacheBytes = (options) => JSON.parse(parseOptions(options, true).json).loader.cacheBytes;
  assert.equal(cacheBytes({}), 96 * 1024 * 1024);
  assert.equal(cacheBytes({ loader: { cacheBytes: undefined } }), 96 * 1024 * 1024);
  assert.equal(cacheBytes({ loader: { cacheBytes: 1 } }), 1);
});

test("relay-only mode and the browser's own policy agree, and need a TURN server", () => {
  const iceServers = [{ urls: "stun:stun.example.com" }, { urls: ["turns:turn.example.com"] }];
  for (const loader of [
    { relayOnly: true, rtcConfig: { iceServers } },
    { rtcConfig: { iceServers, iceTransportPolicy: "relay" } },
    { relayOnly: false, rtcConfig: { iceServers, iceTransportPolicy: "relay" } },
  ]) {
    const { json, hooks, problems } = parseOptions({ loader }, false);
    assert.deepEqual(problems, []);
    assert.deepEqual(JSON.parse(json), { loader: { relayOnly: true } });
    assert.deepEqual(hooks.rtcConfig, { iceServers, iceTransportPolicy: "relay" });
  }
  for (const rtcConfig of [undefined, { iceServers: [{ urls: "stun:turn.example.com" }] }]) {
    assert.deepEqual(parseOptions({ loader: { relayOnly: true, rtcConfig } }, false).problems, [
      "loader.relayOnly: true is not allowed; it must be false where loader.rtcConfig.iceServers names no turn: or turns: server",
    ]);
  }
});

test("whether to wait for consent is known before the engine is there", () => {
  assert.equal(parseOptions({}, false).consentRequired, false);
  assert.equal(parseOptions({ loader: { consentRequired: true } }, false).consentRequired, true);
});
