// Viewers of one stream share it: on demand, live, while seeking, and when hlswarm joins a running player.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

test("three viewers of a VOD share it", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url);
  await a.until("holds the beginning", ({ cached, started }) => started && cached >= 4);
  const b = await world.play("b", url);
  const c = await world.play("c", url);
  const viewers = [a, b, c];
  for (const viewer of viewers) await viewer.until("has both others as peers", ({ peers }) => peers === 2);
  for (const viewer of [b, c])
    await viewer.until("got segments from peers", ({ p2pBytes }) => p2pBytes > 300_000);
  for (const viewer of viewers) await viewer.until("plays on", ({ position }) => position > 5);
  await until("the tracker counts those who have all of it", async () => {
    const { stats } = await a.report();
    return stats.cache.segments === 15 && stats.trackers[0].complete >= 1;
  });
  const reports = await world.verify(viewers);
  const received = reports.reduce((sum, { p2pBytes }) => sum + p2pBytes, 0);
  const sent = reports.reduce((sum, { uploadedBytes }) => sum + uploadedBytes, 0);
  assert.ok(sent >= received, `sent ${sent} bytes, received ${received}`);
  const served = world.segmentsServed(url);
  const fetched = reports.reduce((sum, { httpBytes, p2pBytes }) => sum + httpBytes + p2pBytes, 0);
  assert.ok(
    served.bytes < fetched - 600_000,
    `the origin served ${served.bytes} of the ${fetched} bytes that were fetched`,
  );
});

test("three viewers of a live stream share it", async () => {
  const url = await world.live({ window: 6 });
  const viewers = [];
  for (const name of ["a", "b", "c"]) {
    viewers.push(await world.play(name, url));
    await viewers.at(-1).until("plays", ({ started }) => started);
  }
  for (const viewer of viewers) await viewer.until("has both others as peers", ({ peers }) => peers === 2);
  const before = await Promise.all(viewers.map((viewer) => viewer.status()));
  // Whoever is elected fetches; in the long run each gets something from the others, and all together most of it.
  await viewers[0].until("and the others share", async () => {
    const now = await Promise.all(viewers.map((viewer) => viewer.status()));
    return now.reduce((sum, { p2pBytes }, i) => sum + p2pBytes - before[i].p2pBytes, 0) > 1_000_000;
  });
  for (const [i, viewer] of viewers.entries()) {
    await viewer.until("plays on", ({ position }) => position > before[i].position + 6);
  }
  await world.verify(viewers);
});

test("viewers that join at the same moment find each other, with one link for each pair", async () => {
  const url = await world.vod("ts");
  const viewers = await Promise.all(["a", "b", "c", "d"].map((name) => world.open(name)));
  const options = { mode: "hlswarm", manifestUrl: url, trackers: [world.tracker.url] };
  await Promise.all(viewers.map((viewer) => viewer.start(options)));
  for (const viewer of viewers) {
    await viewer.until("has the three others as peers", ({ peers }) => peers === 3);
    await viewer.until("plays on", ({ position }) => position > 5);
  }
  const reports = await world.verify(viewers);
  for (const { stats } of reports) assert.equal(new Set(stats.peerList.map(({ peer }) => peer)).size, 3);
  assert.ok(reports.reduce((sum, { p2pBytes }) => sum + p2pBytes, 0) > 600_000);
});

test("a seek is served by a peer, forwards and backwards", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { hlsConfig: { maxBufferLength: 120 } });
  await a.until("holds it all", ({ cached }) => cached >= 14);
  const b = await world.play("b", url, { hlsConfig: { maxBufferLength: 4, maxMaxBufferLength: 4 } });
  await b.until("plays with a peer", ({ started, peers }) => started && peers === 1);
  for (const to of [22, 9, 26]) {
    await b.eval((position) => (window.viewer.video.currentTime = position), to);
    await b.until(`plays at ${to} s`, ({ position }) => position > to + 0.5);
  }
  const [, report] = await world.verify([a, b]);
  assert.ok(report.p2pBytes > 300_000, `only ${report.p2pBytes} bytes came from the peer`);
});

test("hlswarm joins a player that is running, and leaves it", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url);
  await a.until("holds the beginning", ({ cached }) => cached >= 6);
  const b = await world.open("b", { prepare: { mode: "hlswarm" } });
  const hlsConfig = { maxBufferLength: 4, maxMaxBufferLength: 4 };
  await b.start({ mode: "http", manifestUrl: url, hlsConfig });
  await b.until("plays over HTTP", ({ started, buffers }) => started && buffers >= 2);
  await b.eval((tracker) => {
    window.viewer.attach({ loader: { trackerAnnounce: [tracker] } });
  }, world.tracker.url);
  await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 100_000);

  const { position, buffers } = await b.status();
  await b.eval(() => window.viewer.state.p2p.destroy());
  await b.until("has closed all connections", ({ connections }) => connections === 0);
  await a.until("noticed the goodbye", ({ peers }) => peers === 0);
  await b.until("plays on over HTTP", (now) => now.position > position + 6 && now.buffers > buffers);
  const left = await b.eval(() => ({
    timers: [...window.watch.timers.values()],
    sockets: window.watch.sockets.filter(({ readyState }) => readyState < WebSocket.CLOSING).length,
  }));
  assert.deepEqual(left, { timers: [], sockets: 0 });
  await world.verify([a, b]);
});

test("two players on one page are two viewers and do not disturb each other", async () => {
  const [first, second] = [await world.vod("ts"), await world.vod("fmp4")];
  for (const [name, url] of [
    ["a", first],
    ["b", second],
  ]) {
    const viewer = await world.play(name, url);
    await viewer.until("holds the beginning", ({ cached }) => cached >= 5);
  }
  const both = await world.play("both", first);
  await both.eval(
    ({ url, tracker }) => {
      const { Hls, attachP2P } = window.viewer.state;
      const media = document.body.appendChild(document.createElement("video"));
      media.muted = true;
      const hls = new Hls();
      window.other = { media, hls, p2p: attachP2P(hls, { loader: { trackerAnnounce: [tracker] } }) };
      hls.loadSource(url);
      hls.attachMedia(media);
      media.play();
    },
    { url: second, tracker: world.tracker.url },
  );
  await both.until("gets segments from a", ({ p2pBytes }) => p2pBytes > 150_000);
  const other = () =>
    both.eval(() => {
      const { media, p2p } = window.other;
      const { p2pBytes, peers } = p2p.stats();
      return { p2pBytes, peers, position: media.currentTime };
    });
  await until("the other player gets segments from b", async () => (await other()).p2pBytes > 150_000);
  await both.eval(() => window.viewer.state.p2p.destroy());
  const { position } = await other();
  await until("the other player plays on", async () => (await other()).position > position + 4);
  assert.equal((await other()).peers, 1);
  await world.verify([both]);
});

test("the manifest's URL makes the swarm unless the page names it", async () => {
  const options = (swarmId) => ({ p2pOptions: { segments: { swarmId } } });
  // One stream at two addresses, as two CDNs have it.
  const [here, there] = [await world.vod("ts"), await world.vod("ts")];
  const a = await world.play("a", here, { whole: true, ...options("film") });
  await a.until("holds it all", ({ cached }) => cached === 15);
  const alike = await world.play("b", there, options("film"));
  const other = await world.play("c", here, options("another film"));
  const unnamed = await world.play("d", here);
  await alike.until("gets segments from the first", ({ p2pBytes }) => p2pBytes > 300_000);
  for (const viewer of [other, unnamed]) {
    await viewer.until("plays on", ({ position, trackers }) => position > 4 && trackers[0] === "connected");
    assert.equal((await viewer.status()).peers, 0);
  }
  await world.verify([a, alike, other, unnamed]);
});
