// What a page gives to hlswarm and takes back: hooks, storage, switches, the end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const shortBuffer = { maxBufferLength: 4, maxMaxBufferLength: 4 };

/** Plays without hlswarm and notes every request for a segment. */
async function playAlone(name, url, options = {}) {
  const viewer = await world.open(name);
  const requests = [];
  viewer.page.on("request", (request) => {
    if (new URL(request.url()).pathname.endsWith(".ts")) requests.push(request);
  });
  await viewer.start({ mode: "http", manifestUrl: url, hlsConfig: shortBuffer, ...options });
  await viewer.eval(async () => {
    window.viewer.state.attachP2P = (await import("hlswarm/hls")).attachP2P;
  });
  await viewer.until("plays", ({ started }) => started);
  return { viewer, requests };
}

const httpBytes = (viewer) => viewer.eval(() => window.viewer.state.p2p.stats().httpBytes);

test("peers come to a running player and go again, and hls.js never stops", async () => {
  const url = await world.vod("ts");
  const other = await world.play("other", url, { hlsConfig: { maxBufferLength: 120 } });
  await other.until("holds it all", ({ cached }) => cached >= 14);
  const { viewer } = await playAlone("a", url);
  const tracker = world.tracker.url;
  const attach = () =>
    viewer.eval((tracker) => void window.viewer.attach({ loader: { trackerAnnounce: [tracker] } }), tracker);
  await attach();
  await viewer.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 100_000);
  assert.match(
    await viewer.eval(() => {
      try {
        window.viewer.state.attachP2P(window.viewer.state.hls);
        return "";
      } catch (error) {
        return error.message;
      }
    }),
    /destroy\(\) them first/,
  );
  const { position, buffers } = await viewer.status();
  const left = await viewer.eval(() => {
    const { hls, p2p } = window.viewer.state;
    p2p.destroy();
    p2p.destroy();
    return { fLoader: String(hls.config.fLoader), state: p2p.stats().state };
  });
  assert.deepEqual(left, { fLoader: "undefined", state: "destroyed" });
  await viewer.until("closed its connections", ({ connections }) => connections === 0);
  await other.until("was told", ({ peers }) => peers === 0);
  await viewer.until("plays on", (now) => now.position > position + 4 && now.buffers > buffers);
  await attach();
  await viewer.until("has the peer again", ({ peers }) => peers === 1);
  await world.verify([viewer, other]);
});

test("peer-to-peer is switched off and on while playing", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { hlsConfig: shortBuffer });
  const b = await world.play("b", url, { hlsConfig: shortBuffer });
  await b.until("meets the peer", ({ peers }) => peers === 1);
  await b.eval(() => window.viewer.state.p2p.setP2P(false));
  await b.until("closed its connections", ({ connections, peers }) => connections === 0 && peers === 0);
  await a.until("was told", ({ peers }) => peers === 0);
  const { position } = await b.status();
  await b.until("plays on", (now) => now.position > position + 2);
  await b.eval(() => window.viewer.state.p2p.setP2P(true));
  await b.until("meets the peer again", ({ peers }) => peers === 1);
  await world.verify([a, b]);
});

test("a malformed STUN URL is named, and playback goes on", async () => {
  const { viewer } = await playAlone("a", await world.vod("ts"));
  const failure = await viewer.eval(() => {
    const rtcConfig = { iceServers: [{ urls: "stun:127.0.0.1:9" }, { urls: ["stun:127.0.0.1:9", "stun:"] }] };
    return window.viewer.attach({ loader: { rtcConfig } }).ready.then(String, String);
  });
  assert.match(failure, /loader\.rtcConfig\.iceServers\[1\]\.urls\[1\]: "stun:" is not allowed/);
  assert.ok(!failure.includes("iceServers[0]"), failure);
  const { position } = await viewer.status();
  await viewer.until("plays on", (now) => now.position > position + 2);
});

test("a misspelt option is named by the full engine, which good options do not load", async () => {
  const { viewer } = await playAlone("a", await world.vod("ts"));
  const loaded = () =>
    performance.getEntriesByType("resource").filter(({ name }) => /full_bg\.wasm/.test(name)).length;
  assert.equal(await viewer.eval(loaded), 0);
  const failure = await viewer.eval(() => {
    const loader = { trackerAnounce: [], cachedSegmentsCount: -1 };
    return window.viewer.attach({ loader }).ready.then(String, String);
  });
  assert.match(
    failure,
    /loader\.trackerAnounce: there is no such option .* did you mean loader\.trackerAnnounce\?/,
  );
  assert.match(failure, /loader\.cachedSegmentsCount: -1 is not allowed; it must be a whole number from/);
  assert.equal(await viewer.eval(loaded), 1);
  const { position } = await viewer.status();
  await viewer.until("plays on", (now) => now.position > position + 2);
});

/** Ways to mark a request, each with what attaches peers in that way. */
const setUps = {
  requestSetup: () =>
    window.viewer.attach({
      loader: {
        requestSetup(url, init) {
          init.headers.set("x-mark", "requestSetup");
          return new Request(`${url}?mark=1`, init);
        },
      },
    }),
  xhrSetup: () =>
    window.viewer.attach({
      loader: {
        xhrSetup(xhr, url) {
          xhr.open("GET", `${url}?mark=1`);
          xhr.setRequestHeader("x-mark", "xhrSetup");
        },
      },
    }),
  "xhrSetup of hls.js": () => {
    // Setting a header before the request is open throws: hls.js then opens it and calls again.
    window.viewer.state.hls.config.xhrSetup = (xhr) => xhr.setRequestHeader("x-mark", "xhrSetup of hls.js");
    window.viewer.attach({ loader: { segmentUrlBuilder: ({ url }) => `${url}?mark=1` } });
  },
  "fetchSetup of hls.js": () => {
    window.viewer.state.hls.config.fetchSetup = async (context, init) => {
      init.headers.set("x-mark", "fetchSetup of hls.js");
      return new Request(`${context.url}?mark=1`, init);
    };
    window.viewer.attach({});
  },
  "a loader class of the page": () => {
    const { hls } = window.viewer.state;
    const Usual = hls.config.loader;
    hls.config.loader = class extends Usual {
      load(context, ...rest) {
        const headers = { ...context.headers, "x-mark": "a loader class of the page" };
        super.load({ ...context, headers, url: `${context.url}?mark=1` }, ...rest);
      }
    };
    window.viewer.attach({});
  },
};

for (const [name, attach] of Object.entries(setUps)) {
  test(`requests are set up by ${name}`, async () => {
    const { viewer, requests } = await playAlone("a", await world.vod("ts"));
    const before = requests.length;
    await viewer.eval(attach);
    await until("the engine fetches", async () => (await httpBytes(viewer)) > 200_000);
    // A request that was under way when the peers came is not ours.
    const ours = requests.slice(before).filter((request) => request.url().includes("mark=1"));
    assert.ok(ours.length >= 1, requests.map((request) => request.url()).join("\n"));
    for (const request of ours) assert.equal((await request.allHeaders())["x-mark"], name);
    assert.ok(requests.length - before - ours.length <= 1, "all but one are marked");
  });
}

test("a storage of the page is asked before the CDN, and given what was played", async () => {
  const url = await world.vod("ts");
  const { viewer, requests } = await playAlone("a", url);
  await viewer.eval(() => {
    window.store = new Map();
    window.found = [];
    window.attachWithStorage = () =>
      window.viewer.attach({
        loader: {
          segmentsStorage: {
            store: (key, data) => void window.store.set(key, data),
            async get(key) {
              const found = window.store.get(key);
              if (found) window.found.push(key);
              return found;
            },
            remove: (key) => void window.store.delete(key),
          },
        },
      });
    window.attachWithStorage();
  });
  await viewer.until("played some", ({ position }) => position > 8);
  const keys = await viewer.eval(() => [...window.store.keys()]);
  assert.ok(keys.length >= 3, `${keys.length} stored`);
  for (const key of keys) assert.ok(key.startsWith(url), key);
  // Another engine, with an empty cache of its own, and the player back where it was.
  await viewer.eval(() => {
    window.viewer.state.p2p.destroy();
    window.attachWithStorage();
  });
  await until("the engine runs", () =>
    viewer.eval(() => window.viewer.state.p2p.stats().state === "running"),
  );
  const before = requests.length;
  await viewer.eval(() => {
    const { hls } = window.viewer.state;
    hls.trigger("hlsBufferFlushing", { startOffset: 0, endOffset: Infinity, type: null });
    window.viewer.video.currentTime = 5;
  });
  await viewer.until("plays there", ({ position }) => position > 7 && position < 20);
  const found = await viewer.eval(() => {
    const { fragments } = window.viewer.state.hls.levels[0].details;
    return window.found.map((key) => fragments.find(({ sn }) => sn === Number(key.split("/").pop())).url);
  });
  assert.ok(found.length >= 1, "the storage had what was asked for");
  const again = requests.slice(before).map((request) => request.url());
  assert.deepEqual(
    again.filter((url) => found.includes(url)),
    [],
    "and it was not fetched",
  );
  await world.verify([viewer]);
});

test("a page that is put away leaves, and is back at once when it is shown again", async () => {
  const url = await world.vod("ts");
  const other = await world.play("other", url);
  const away = await world.play("away", url);
  for (const viewer of [other, away]) await viewer.until("has a peer", ({ peers }) => peers === 1);
  // As the browser says it when it keeps the page for the way back.
  const tell = (event) =>
    away.eval((type) => void dispatchEvent(new PageTransitionEvent(type, { persisted: true })), event);
  await tell("pagehide");
  await other.until("was told", ({ peers }) => peers === 0);
  await away.until("closed its connections", ({ connections }) => connections === 0);
  const open = () => away.eval(() => window.watch.sockets.filter((socket) => socket.readyState <= 1).length);
  await until("left the tracker", async () => (await open()) === 0);
  const { p2pBytes } = await away.status();
  await tell("pageshow");
  for (const viewer of [other, away]) await viewer.until("has the peer again", ({ peers }) => peers === 1);
  assert.ok((await away.status()).p2pBytes >= p2pBytes, "what was counted before still counts");
  await world.verify([other, away]);
});

test("the send buffer's low-water mark is the page's", async () => {
  const url = await world.vod("ts");
  const p2pOptions = { limits: { sendBufferLowBytes: 70_000 } };
  const viewers = [await world.play("a", url, { p2pOptions }), await world.play("b", url, { p2pOptions })];
  for (const viewer of viewers) {
    await viewer.until("has a peer", ({ peers }) => peers === 1);
    const marks = await viewer.eval(() =>
      window.watch.channels
        .filter(({ readyState }) => readyState === "open")
        .map(({ bufferedAmountLowThreshold }) => bufferedAmountLowThreshold),
    );
    assert.ok(marks.length > 0 && marks.every((mark) => mark === 70_000), String(marks));
  }
});
