// Everything that hls.js plays, plays with peers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";

useTestWorld();

/**
 * Two viewers: the second joins when the first has the beginning, and must get segments from it. What they buffer is
 * checked, whether it is played or not; to `position` it is also played, over two ends of segments.
 */
async function playPair(url, { options = {}, open, cached = 4, position = 4.5 } = {}) {
  const a = await world.play("a", url, { open, ...options });
  await a.until("holds the beginning", (status) => status.started && status.cached >= cached);
  const b = await world.play("b", url, { open, ...options });
  await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 150_000);
  for (const viewer of [a, b]) await viewer.until("plays on", (status) => status.position > position);
  return [a, b];
}

for (const [kind, title] of [
  ["ts", "MPEG-TS"],
  ["fmp4", "fragmented MP4"],
  ["byterange", "byte ranges of a single file"],
]) {
  test(`${title} plays from a peer`, async () => {
    const viewers = await playPair(await world.vod(kind));
    const reports = await world.verify(viewers);
    if (kind === "fmp4")
      assert.ok(
        reports[1].buffers.some(({ sn }) => sn === "initSegment"),
        "no init segment was checked",
      );
    if (kind === "byterange")
      assert.ok(
        reports[1].buffers.every(({ rangeEnd }) => rangeEnd > 0),
        "no byte ranges were asked for",
      );
  });
}

test("AES-128: the ciphertext is shared, the key never", async () => {
  const url = await world.vod("aes");
  const watchMessages = () => {
    window.watch.keepMessages = true;
  };
  const viewers = await playPair(url, { open: { before: watchMessages } });
  await world.verify(viewers);
  const key = await world.keyOf(url);
  assert.equal(key.length, 16);
  for (const viewer of viewers) {
    const { messages, found } = await viewer.eval(
      (wanted) => {
        const has = (bytes) => {
          for (let i = bytes.indexOf(wanted[0]); i >= 0; i = bytes.indexOf(wanted[0], i + 1)) {
            if (wanted.every((byte, k) => bytes[i + k] === byte)) return true;
          }
          return false;
        };
        return { messages: window.watch.messages.length, found: window.watch.messages.some(has) };
      },
      [...key],
    );
    assert.ok(messages > 2, `${viewer.name}: ${messages} messages were looked at`);
    assert.equal(found, false, `${viewer.name}: the key was in a data channel message`);
    assert.ok(
      world.requestsOf(viewer).some(({ path }) => path.endsWith(".key")),
      `${viewer.name} did not fetch the key over HTTP`,
    );
  }
});

test("separate audio renditions are shared like the video", async () => {
  const [a, b] = await playPair(await world.vod("audio"), { cached: 6 });
  await b.until("got audio and video from the peer", async () => {
    const { events } = await b.report();
    const tracks = new Set(
      events
        .filter(({ name, event }) => name === "segmentLoaded" && event.p2pBytes > 0)
        .map(({ event }) => event.key.track),
    );
    return tracks.size >= 2;
  });
  const [, report] = await world.verify([a, b]);
  assert.ok(report.buffers.some(({ type }) => type === "audio"));
  assert.equal(report.peers, 1, "one link carries both");
});

test("discontinuities are played through", async () => {
  // The second half begins at 16 s.
  const options = { hlsConfig: { startPosition: 12 } };
  const viewers = await playPair(await world.vod("discontinuity"), { options, position: 17 });
  const [, report] = await world.verify(viewers);
  const numbers = new Set(
    report.events.filter(({ name }) => name === "segmentLoaded").map(({ event }) => event.key.discontinuity),
  );
  assert.ok(numbers.size >= 2, "segments of one discontinuity only");
});

test("a quality switch keeps the peers, and both qualities are shared", async () => {
  const url = await world.vod("abr");
  const hlsConfig = { startLevel: 0, maxBufferLength: 6, maxMaxBufferLength: 6 };
  const viewers = [];
  for (const name of ["a", "b"]) {
    const viewer = await world.play(name, url, { hlsConfig });
    await viewer.eval(() => (window.viewer.state.hls.loadLevel = 0));
    await viewer.until("plays", ({ started, cached }) => started && cached >= 2);
    viewers.push(viewer);
  }
  const [a, b] = viewers;
  const loadedFromPeer = async () => {
    const { events } = await b.report();
    return new Set(
      events
        .filter(({ name, event }) => name === "segmentLoaded" && event.p2pBytes > 0)
        .map(({ event }) => event.key.track),
    );
  };
  await b.until("got the low quality from the peer", async () => (await loadedFromPeer()).size === 1);
  await a.eval(() => (window.viewer.state.hls.nextLevel = 1));
  await a.until("plays the high quality", ({ hlsLevel }) => hlsLevel === 1);
  await b.eval(() => (window.viewer.state.hls.nextLevel = 1));
  await b.until("got the high quality from the peer", async () => (await loadedFromPeer()).size === 2);
  await b.until("plays the high quality", ({ hlsLevel }) => hlsLevel === 1);
  for (const report of await world.verify(viewers)) {
    assert.equal(report.peers, 1);
    const links = report.events
      .filter(({ name }) => name === "peerConnected" || name === "peerClosed")
      .map(({ name }) => name);
    assert.deepEqual(links, ["peerConnected"], "one link, made once");
  }
});

for (const build of ["esm", "umd"]) {
  test(`hls.js as ${build.toUpperCase()} with its worker`, async () => {
    // Imported as a module, hls.js is told where its worker is; the UMD build makes it from its own text.
    const hlsConfig = { enableWorker: true, ...(build === "esm" && { workerPath: "/hls.js/hls.worker.js" }) };
    const viewers = await playPair(await world.vod("ts"), { options: { build, hlsConfig } });
    await world.verify(viewers);
    for (const viewer of viewers) {
      assert.ok((await viewer.eval(() => window.watch.workers)) > 0, `${viewer.name} runs without a worker`);
    }
  });
}
