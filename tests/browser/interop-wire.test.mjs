// The corners of p2p-media-loader's wire, against the library as it is published.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const keeping = { before: () => (window.watch.keepMessages = true) };

/** A page of ours that shares with p2p-media-loader, and takes over HTTP only what it must. */
const ours = (name, url, { p2pOptions: { loader = {}, ...rest } = {}, ...options } = {}) =>
  world.play(name, url, {
    open: keeping,
    whole: true,
    ...options,
    p2pOptions: {
      interop: "p2p-media-loader",
      ...rest,
      loader: { requiredSegmentsPriority: 0, httpDownloadProbability: 0, ...loader },
    },
  });
/** A page of ours that has fetched everything over HTTP. */
async function holder(name, url, segments, { loader = {}, ...rest } = {}) {
  const all = { requiredSegmentsPriority: 400, forwardSegmentCount: 400, simultaneousHttpDownloads: 8 };
  const { forwardSegmentCount, ...settings } = all;
  const viewer = await ours(name, url, {
    p2pOptions: { ...rest, segments: { forwardSegmentCount }, loader: { ...settings, ...loader } },
  });
  await viewer.until("holds everything", ({ cached }) => cached === segments);
  return viewer;
}
/** A page of p2p-media-loader. */
const stock = (name, url, { p2pOptions = {}, ...options } = {}) =>
  world.play(name, url, { mode: "p2pml", open: keeping, ...options, p2pOptions });
/** What a page of p2p-media-loader is told to fetch everything over HTTP at once. */
const greedy = { highDemandTimeWindow: 10_000, simultaneousHttpDownloads: 8 };
/** ... and one that takes nearly everything from peers. */
const frugal = { highDemandTimeWindow: 0.5 };

/** What a page of ours is told to take over HTTP at once what no peer has. */
const eager = { httpDownloadProbability: 1, httpDownloadProbabilitySkipIfNoPeers: true };

/** The commands that a page sent or got. */
const commands = (viewer, direction) =>
  viewer.eval(async (which) => {
    const { commandsIn } = await import("/page/stock-wire.mjs");
    return commandsIn(window.watch[which]);
  }, direction);

const stockHolds = (viewer) =>
  viewer.eval(async () => (await import("/page/stock-wire.mjs")).stockSegments().length);

/** Checks everything that a page of p2p-media-loader keeps, as not all of it was played. */
async function verifyStock(viewer, url) {
  const truth = (await world.digests(url)).map(([, digest]) => digest);
  const kept = await viewer.eval(async () => {
    const { stockSegments } = await import("/page/stock-wire.mjs");
    const { sha256 } = await import("/page/buffers.mjs");
    return Promise.all(stockSegments().map(async ([id, data]) => [id, await sha256(data)]));
  });
  assert.deepEqual(
    kept.filter(([id, digest]) => truth[id] !== digest),
    [],
  );
  return kept.map(([id]) => id);
}

/** Waits for commands, and gives those that fit. */
const untilSent = (viewer, direction, what, fits) =>
  until(
    `${viewer.name}: ${what}`,
    async () => {
      const found = (await commands(viewer, direction)).filter(fits);
      return found.length ? found : undefined;
    },
    { explain: async () => JSON.stringify((await commands(viewer, direction)).slice(-40)) },
  );

test("more than 256 segments are told in parts while they come, and served in both directions", async () => {
  const segments = 300;
  const url = await world.longVod({ segments });
  // Announces a hundred times a second, each time all that it has, in messages of 200 bytes.
  const first = await stock("stock", url, { p2pOptions: { ...greedy, webRtcMaxMessageSize: 200 } });
  const b = await ours("ours", url, {
    p2pOptions: {
      segments: { forwardSegmentCount: segments },
      loader: { p2pDownloadMaxPriority: segments, httpDownloadMaxPriority: 0, cachedSegmentsCount: segments },
      limits: { requestsPerSecond: 1000, requestsBurst: 1000 },
      integrity: { mode: "off" },
    },
  });
  await b.until("holds everything", ({ cached }) => cached === segments);
  const told = await untilSent(first, "outgoing", "announces in parts", ({ kind, parts, bytes }) => {
    return kind === "announcement" && parts > 1 && bytes > 256;
  });
  assert.ok(told.length > 0);
  const { events, stats, p2pBytes } = await b.report();
  assert.deepEqual(
    stats.peerList.map(({ segments }) => segments),
    [segments],
  );
  const fromPeers = events.filter(({ name, event }) => name === "segmentLoaded" && event.source === "p2p");
  assert.ok(
    fromPeers.some(({ event }) => event.key.sequence >= 256),
    `${fromPeers.length} segments from peers, ${p2pBytes} bytes`,
  );
  assert.deepEqual(
    events.filter(({ name }) => name === "peerClosed"),
    [],
  );
  await first.close();
  // Requests do not fit into its messages.
  const second = await stock("stock, later", url, {
    hlsConfig: { startPosition: 104 },
    p2pOptions: { ...frugal, webRtcMaxMessageSize: 16 },
  });
  await second.until("gets segments from ours", ({ p2pBytes }) => p2pBytes > 50_000);
  const known = await second.eval(async () => {
    const { stockPeers } = await import("/page/stock-wire.mjs");
    return stockPeers().map(({ loadedSegments }) => loadedSegments.size);
  });
  assert.deepEqual(known, [segments], "it can read our list");
  await untilSent(
    second,
    "outgoing",
    "asks in parts",
    ({ kind, parts, i }) => kind === "request" && parts > 1 && i >= 256,
  );
  await verifyStock(second, url);
  await world.verify([b, second]);
});

test("what a stock viewer breaks off is asked of another from where it stopped", async () => {
  const url = await world.vod("ts");
  const holders = [];
  for (const name of ["stock 1", "stock 2"])
    holders.push(await stock(name, url, { p2pOptions: { ...greedy, webRtcMaxMessageSize: 4096 } }));
  for (const one of holders) await until("both hold everything", async () => (await stockHolds(one)) === 15);
  await holders[0].eval(() => (window.watch.silentAfterBytes = window.watch.channelBytes + 60_000));
  const b = await ours("ours", url, {
    hlsConfig: { maxBufferLength: 60 },
    p2pOptions: { loader: { simultaneousP2PDownloads: 2 } },
  });
  const [resumed] = await untilSent(
    b,
    "outgoing",
    "goes on",
    ({ kind, b: from }) => kind === "request" && from > 0,
  );
  await b.until("has everything", ({ buffers }) => buffers === 15);
  const given = (await commands(b, "incoming")).find(
    ({ kind, i, r }) => kind === "data" && i === resumed.i && r === resumed.r,
  );
  const [[report]] = await Promise.all([world.verify([b])]);
  const { bytes } = report.buffers.find(({ sn }) => sn === resumed.i);
  assert.equal(given?.s, bytes - resumed.b, "the rest, and no more");
  const cancelled = (await commands(b, "outgoing")).filter(({ kind }) => kind === "cancel");
  assert.ok(
    cancelled.some(({ i }) => i === resumed.i),
    "the silent one is told",
  );
});

test("what we break off a stock viewer asks of another from where it stopped", async () => {
  const url = await world.vod("ts");
  const loader = { webRtcMaxMessageSize: 4096 };
  const silent = await holder("ours, silent", url, 15, { loader });
  const b = await holder("ours", url, 15, { loader });
  await silent.eval(() => (window.watch.silentAfterBytes = window.watch.channelBytes + 60_000));
  const c = await stock("stock", url, { p2pOptions: { ...frugal, p2pNotReceivingBytesTimeoutMs: 700 } });
  // Its playhead stays where it is: nothing becomes urgent.
  await c.eval(() => window.viewer.video.pause());
  // It may ask the silent one again: whom it asks is chance.
  const [resumed] = await untilSent(
    b,
    "incoming",
    "is asked for a rest",
    ({ kind, b: from }) => kind === "request" && from > 0,
  );
  await until("it has everything", async () => (await stockHolds(c)) === 15, {
    explain: async () => JSON.stringify(await commands(c, "outgoing")),
  });
  assert.equal((await verifyStock(c, url)).length, 15);
  assert.ok((await commands(c, "outgoing")).some(({ kind, i }) => kind === "cancel" && i === resumed.i));
  await world.verify([b]);
});

test("segments that are not there after all, and requests that are taken back", async () => {
  const url = await world.vod("ts");
  const a = await stock("stock", url, { p2pOptions: greedy });
  await until("it holds everything", async () => (await stockHolds(a)) === 15);
  // One that was dropped without a word, and one whose buffer was given away.
  await a.eval(async () => {
    const storage = (await import("/page/stock-wire.mjs")).stockStorage();
    const get = storage.getSegmentData.bind(storage);
    storage.getSegmentData = async (...of) =>
      of[2] === 5 ? undefined : of[2] === 8 ? new ArrayBuffer(0) : get(...of);
  });
  const b = await ours("ours", url, {
    hlsConfig: { maxBufferLength: 60 },
    p2pOptions: { loader: { ...eager, uploadBytesPerSecond: 100_000, webRtcMaxMessageSize: 4096 } },
  });
  await untilSent(b, "incoming", "one is absent", ({ kind, i }) => kind === "absent" && i === 5);
  await untilSent(b, "incoming", "one is empty", ({ kind, i, s }) => kind === "data" && i === 8 && s === 0);
  await b.until("has everything", ({ buffers, cached }) => buffers === 15 && cached === 15);
  const [report] = await world.verify([b]);
  assert.equal(report.peers, 1, "that is no reason to part");
  assert.ok(report.p2pBytes > 800_000, `${report.p2pBytes} bytes from the stock viewer`);
  // What we do not have.
  await a.eval(async () => {
    for (const peer of (await import("/page/stock-wire.mjs")).stockPeers())
      peer.peerProtocol.sendCommand({ c: 1, i: 999, r: 77 });
  });
  await untilSent(
    a,
    "incoming",
    "is told that it is absent",
    ({ kind, i, r }) => kind === "absent" && i === 999 && r === 77,
  );
  await a.close();
  // The uplink of ours is slow. A stock viewer begins to download, and is elsewhere before it is done.
  const c = await stock("stock, seeking", url, { p2pOptions: { ...frugal, simultaneousP2PDownloads: 1 } });
  await c.eval(() => window.viewer.video.pause());
  await untilSent(c, "incoming", "is being served", ({ kind }) => kind === "data");
  await c.eval(() => (window.viewer.video.currentTime = 24));
  const [{ i: left, r }] = await untilSent(c, "outgoing", "takes it back", ({ kind }) => kind === "cancel");
  await until("something else is served whole", async () => {
    const came = await commands(c, "incoming");
    return came.some(({ kind, i }) => kind === "completed" && i > left);
  });
  const came = await commands(c, "incoming");
  assert.ok(!came.some((it) => it.kind === "completed" && it.i === left && it.r === r), "and not that one");
  await verifyStock(c, url);
});

test("bytes of segments that look like commands are bytes, whoever sends them", async () => {
  // Each message but the last is 4096 bytes long, and the whole of it looks like a command.
  const looks = new Uint8Array(3 * 4096 + 100).fill(0x77);
  for (const [at, end] of [0, 1, 2].map((i) => [i * 4096, (i + 1) * 4096]).concat([[12288, 12388]])) {
    looks.set(
      [..."cstr"].map((letter) => letter.charCodeAt(0)),
      at,
    );
    looks.set(
      [..."cend"].map((letter) => letter.charCodeAt(0)),
      end - 4,
    );
  }
  const url = await world.vodAnd("odd.ts", looks);
  const last = 15;
  const settings = { ...greedy, webRtcMaxMessageSize: 4096 };
  const a = await stock("stock", url, { p2pOptions: settings });
  await until("it holds everything", async () => (await stockHolds(a)) === 16);
  const b = await ours("ours", url, { p2pOptions: { loader: { webRtcMaxMessageSize: 4105 } } });
  await b.eval(() => window.viewer.video.pause());
  await b.until("has everything", ({ cached }) => cached === 16);
  const { events } = await b.report();
  const odd = events.find(({ name, event }) => name === "segmentLoaded" && event.key.sequence === last);
  assert.equal(odd.event.source, "p2p", "in auto mode, so that its digest is the origin's");
  await a.close();
  const c = await stock("stock, later", url, { p2pOptions: frugal });
  await c.eval(() => window.viewer.video.pause());
  await until("it holds everything", async () => (await stockHolds(c)) === 16);
  assert.ok((await verifyStock(c, url)).includes(last));
  const [{ s: announced }] = (await commands(b, "outgoing")).filter(
    ({ kind, i }) => kind === "data" && i === last,
  );
  assert.equal(announced, looks.length, "ours served it");
});

test("a stock page that leaves and returns is served and asked again", async () => {
  const url = await world.vod("ts");
  const a = await stock("stock", url, { p2pOptions: { highDemandTimeWindow: 4 } });
  await a.until("holds the beginning", ({ started, buffers }) => started && buffers >= 2);
  const b = await ours("ours", url);
  await b.until("gets segments from it", ({ p2pBytes }) => p2pBytes > 0);
  const peers = async () => (await b.report()).stats.peerList.map(({ peer }) => peer);
  const [before] = await peers();
  await a.eval(() => window.viewer.state.hls.p2pEngine.applyDynamicConfig({ core: { isP2PDisabled: true } }));
  await b.until("notices that it left", ({ peers }) => peers === 0);
  const { p2pBytes: got, uploadedBytes: gave } = await b.status();
  await a.eval(() =>
    window.viewer.state.hls.p2pEngine.applyDynamicConfig({ core: { isP2PDisabled: false } }),
  );
  await b.until("meets it again", ({ peers }) => peers === 1);
  assert.deepEqual(await peers(), [before], "under the same id");
  await b.until(
    "shares with it again",
    ({ p2pBytes, uploadedBytes }) => p2pBytes > got || uploadedBytes > gave,
  );
  // Switched off in the middle of a segment, its library fails that request of hls.js, which asks again.
  await world.verify([a], { errors: [/fragLoadError HTTP Error 0/] });
  await world.verify([b]);
});

test("a stock viewer is told of nothing when we may upload no more", async () => {
  const url = await world.vod("ts");
  const b = await holder("ours", url, 15, { loader: { uploadBytesTotal: 500_000 } });
  const c = await stock("stock", url, { p2pOptions: frugal });
  await c.eval(() => window.viewer.video.pause());
  await b.until("has uploaded what it may", ({ uploadedBytes }) => uploadedBytes > 300_000);
  await until("there is nothing to be had", () =>
    c.eval(async () => {
      const { stockPeers } = await import("/page/stock-wire.mjs");
      const [peer] = stockPeers();
      return peer && peer.loadedSegments.size === 0 && !peer.downloadingContext;
    }),
  );
  const refused = (await commands(b, "outgoing")).filter(({ kind }) => kind === "absent").length;
  assert.ok(refused <= 3, `refused ${refused} times: it went on asking`);
  const { peers, uploadedBytes } = await b.status();
  assert.ok(peers === 1 && uploadedBytes <= 500_000, `${peers} peers, ${uploadedBytes} bytes`);
});
