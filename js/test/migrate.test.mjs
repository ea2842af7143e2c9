import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { fromP2PMediaLoader } = await load("migrate.ts");
const { parseOptions } = await load("options.ts");

const named = { announceTrackers: ["wss://tracker.example.com"], rtcConfig: { iceServers: [] } };

test("every setting with a counterpart is carried over", () => {
  const { options, notes } = fromP2PMediaLoader({
    ...named,
    swarmId: "film",
    isP2PDisabled: false,
    isP2PUploadDisabled: true,
    simultaneousHttpDownloads: 4,
    simultaneousP2PDownloads: 5,
    httpDownloadInitialTimeoutMs: 1500,
    httpNotReceivingBytesTimeoutMs: 2500,
    webRtcMaxMessageSize: 16_384,
    segmentMemoryStorageLimit: 100,
    highDemandTimeWindow: 15,
    httpDownloadTimeWindow: 60,
    p2pDownloadTimeWindow: 120,
  });
  assert.deepEqual(notes, []);
  assert.deepEqual(options, {
    segments: { swarmId: "film", forwardSegmentCount: 31 },
    loader: {
      trackerAnnounce: ["wss://tracker.example.com"],
      rtcConfig: { iceServers: [] },
      useP2P: true,
      consumeOnly: true,
      simultaneousHttpDownloads: 4,
      simultaneousP2PDownloads: 5,
      httpDownloadInitialTimeout: 1500,
      httpTimeoutMs: 2500,
      httpStallTimeoutMs: 2500,
      webRtcMaxMessageSize: 16_384,
      cacheBytes: 100 * 1024 * 1024,
      cachedSegmentsCount: 10_000,
      requiredSegmentsPriority: 4,
      httpDownloadMaxPriority: 15,
      p2pDownloadMaxPriority: 30,
    },
  });
  assert.deepEqual(parseOptions(options, false).problems, []);
});

test("windows become segments of the length that is told, and bounds are kept to", () => {
  const core = { ...named, httpDownloadTimeWindow: 3000, p2pDownloadTimeWindow: 6_000_000 };
  const { options } = fromP2PMediaLoader(core, { segmentSeconds: 10 });
  assert.equal(options.loader.httpDownloadMaxPriority, 300);
  assert.equal(options.loader.p2pDownloadMaxPriority, 10_000);
  assert.equal(options.segments.forwardSegmentCount, 10_000);
  const small = fromP2PMediaLoader({ ...named, webRtcMaxMessageSize: 64, segmentMemoryStorageLimit: 0 });
  assert.equal(small.options.loader.webRtcMaxMessageSize, 2048);
  assert.match(small.notes.join(), /webRtcMaxMessageSize: 64 is out of bounds here; 2048 is taken/);
  assert.equal(small.options.loader.cacheBytes, 65_536);
});

test("what has no counterpart is listed with the reason", () => {
  const { options, notes } = fromP2PMediaLoader({
    core: {
      p2pErrorRetries: 3,
      httpErrorRetries: 3,
      p2pNotReceivingBytesTimeoutMs: 2000,
      p2pInactiveLoaderDestroyTimeoutMs: 1,
      trackerClientVersionPrefix: "-PM0203-",
      customSegmentStorageFactory: () => {},
      simultaneousP2PDownloads: "many",
      turbo: true,
      swarmId: undefined,
    },
    onHlsJsCreated: () => {},
  });
  const names = notes.map((line) => line.split(":")[0]);
  assert.deepEqual(names.sort(), [
    "announceTrackers",
    "customSegmentStorageFactory",
    "httpErrorRetries",
    "onHlsJsCreated",
    "p2pErrorRetries",
    "p2pInactiveLoaderDestroyTimeoutMs",
    "p2pNotReceivingBytesTimeoutMs",
    "rtcConfig",
    "simultaneousP2PDownloads",
    "trackerClientVersionPrefix",
    "turbo",
  ]);
  assert.deepEqual(options, { loader: { simultaneousP2PDownloads: undefined } });
});

test("what is set for the main stream counts, and what the secondary stream has otherwise is listed", () => {
  const { options, notes } = fromP2PMediaLoader({
    ...named,
    swarmId: "common",
    simultaneousP2PDownloads: 3,
    mainStream: { swarmId: "main", simultaneousHttpDownloads: 1 },
    secondaryStream: { simultaneousHttpDownloads: 2, simultaneousP2PDownloads: 3 },
  });
  assert.equal(options.segments.swarmId, "main");
  assert.equal(options.loader.simultaneousHttpDownloads, 1);
  assert.deepEqual(
    notes.map((line) => line.split(":")[0]),
    ["secondaryStream.simultaneousHttpDownloads"],
  );
});

test("validators are asked as they were", async () => {
  const asked = [];
  const validate = (kind, verdict) => async (url, byteRange, data) => {
    asked.push([kind, url, byteRange, data.byteLength]);
    return verdict;
  };
  const { segmentValidator } = fromP2PMediaLoader({
    ...named,
    validateP2PSegment: validate("p2p", false),
    validateHTTPSegment: validate("http", true),
  }).options.loader;
  const segment = { key: "k", url: "u", byteRange: { start: 5, end: 9 } };
  assert.equal(await segmentValidator({ ...segment, fromPeers: true }, new ArrayBuffer(4)), false);
  assert.equal(await segmentValidator({ key: "k", url: "u" }, new ArrayBuffer(3)), true);
  assert.deepEqual(asked, [
    ["p2p", "u", { start: 5, end: 8 }, 4],
    ["http", "u", undefined, 3],
  ]);
  const alone = fromP2PMediaLoader({ ...named, validateP2PSegment: validate("p2p", false) }).options.loader;
  assert.equal(await alone.segmentValidator({ key: "k", url: "u" }, new ArrayBuffer(3)), true);
});

test("requests are set up as they were", async () => {
  const asked = [];
  const { requestSetup } = fromP2PMediaLoader({
    ...named,
    httpRequestSetup: async (...args) => {
      asked.push(args);
      return args[0].endsWith("plain") ? undefined : new Request("https://other.example.com/", {});
    },
  }).options.loader;
  const { signal } = new AbortController();
  assert.equal(await requestSetup("https://a/plain", { signal }), undefined);
  const made = await requestSetup("https://a/part", { signal, headers: { Range: "bytes=10-19" } });
  assert.equal(made.url, "https://other.example.com/");
  await requestSetup("https://a/rest", { signal, headers: { Range: "bytes=10-" } });
  assert.deepEqual(
    asked.map(([url, whole, , requested]) => [url, whole, requested]),
    [
      ["https://a/plain", undefined, undefined],
      ["https://a/part", { start: 10, end: 19 }, { start: 10, end: 19 }],
      ["https://a/rest", undefined, { start: 10, end: undefined }],
    ],
  );
  assert.equal(asked[0][2], signal);
});

test("what is no configuration is named", () => {
  assert.throws(() => fromP2PMediaLoader(null), /config is null; it must be an object/);
  assert.throws(() => fromP2PMediaLoader([]), /config is a list/);
  assert.throws(() => fromP2PMediaLoader({}, { segmentSeconds: 0 }), /segmentSeconds is 0; it must be/);
});
