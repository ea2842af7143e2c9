// The faults of which a browser may make something else than the simulator. Each is played by the same viewers twice: over
// HTTP alone and with peers. Times in seconds from the moment when all viewers play.
//
// stream: "vod", "live" or "abr". `at`: when the fault begins; `for`: how long it lasts, forever when it is not said.
// `seconds`: how long is played in all. `options`, `hlsConfig`, `before` (runs in the page before anything else): of the
// viewers. `prepare(side)` runs before the first viewer, `begin(side)` and `end(side)` at the fault's ends. `again(status,
// side)`: what a viewer with peers has again once it has recovered, beside playing on.
//
// A side is `{ withPeers, world, stream, url, viewers, trackers, tracker, turn, blackhole }`. The second viewer is the one
// that things happen to; the first has the stream before it.
import net from "node:net";
import { startTurn } from "../../tests/browser/harness/turn.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Segments fail in this way for a while. */
const origin = (about, fault, { stream = "vod", at = 3, during = 6, ...more } = {}) => ({
  about,
  stream,
  at,
  for: during,
  begin: (side) => (side.clearFault = side.world.origin.setFault(/\.ts$/, fault)),
  end: (side) => side.clearFault(),
  ...more,
});

/** Requests with `Range` fail in this way all the time. */
const ranges = (about, fault) => ({
  about,
  stream: "vod",
  options: { loader: { httpDownloadRanges: true } },
  prepare: (side) => side.world.origin.setFault(/\.ts$/, { rangeOnly: true, ...fault }),
});

/** A page's clock that goes wrong by an hour while it plays. */
const clock = (hours) => ({
  about: `the second viewer's wall clock jumps by ${hours} h`,
  stream: "live",
  at: 3,
  begin: ({ viewers }) =>
    viewers[1].eval((ms) => {
      const now = Date.now;
      Date.now = () => now() + ms;
    }, hours * 3_600_000),
});

const hasPeers = ({ peers }) => peers >= 1;
const isAnnounced = ({ trackers }) => trackers.includes("connected");

function takeCandidatesAway() {
  const apply = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return apply.call(this, { type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, "") });
  };
  RTCPeerConnection.prototype.addIceCandidate = async () => {};
}

function hideWebCrypto() {
  const { subtle } = crypto;
  // The page's own script still compares digests with it.
  Object.defineProperty(crypto, "subtle", {
    get: () => (new Error().stack.split("\n")[2].includes("/hlswarm/") ? undefined : subtle),
  });
}

function hideWebRtc() {
  delete window.RTCPeerConnection;
  delete window.RTCDataChannel;
}

export const faults = {
  none: { about: "nothing: how even the two sides are", stream: "live" },

  "tracker-down-at-start": {
    about: "the tracker is down when the viewers start, and comes 5 s later",
    stream: "live",
    prepare: (side) => side.tracker?.kill(),
    at: 0,
    for: 5,
    end: (side) => side.tracker?.restart(),
    again: hasPeers,
    seconds: 22,
  },
  "tracker-killed": {
    about: "the tracker dies in mid-stream and stays dead",
    stream: "live",
    at: 3,
    begin: (side) => side.tracker?.kill(),
    again: hasPeers,
  },
  "tracker-restart": {
    about: "the tracker dies and is back after 3 s",
    stream: "live",
    at: 3,
    for: 3,
    begin: (side) => side.tracker?.kill(),
    end: (side) => side.tracker?.restart(),
    again: isAnnounced,
    seconds: 24,
  },
  "three-trackers": {
    about: "three trackers: one dead, one that takes connections and never answers, one good",
    stream: "live",
    async prepare(side) {
      if (!side.tracker) return;
      const { server, url } = await startBlackhole();
      side.cleanUp.push(() => server.close());
      side.trackers = ["ws://127.0.0.1:9/", url, side.tracker.url];
    },
    again: ({ peers }) => peers === 1,
  },

  "origin-500": origin("the origin answers 500 for 6 s", { status: 500 }),
  "origin-503": origin("the origin answers 503 for 6 s", { status: 503 }),
  "origin-404": origin("the origin answers 404 for 6 s", { status: 404 }),
  "origin-429": origin("the origin answers 429 for 6 s", { status: 429 }),
  "origin-slow": origin("the origin sends 25 kB/s for 8 s", { bytesPerSecond: 25_000 }, { during: 8 }),
  "origin-hangs": origin("the origin does not answer for 6 s", { hang: true }, { seconds: 26 }),
  "origin-resets": origin("the origin breaks off after 40 kB for 6 s", { resetAfterBytes: 40_000 }),
  "range-ignored": ranges("the origin answers 200 to a Range request", { noRange: true }),
  "range-refused": ranges("the origin answers 416 to a Range request", { status: 416 }),
  "range-without-cors": ranges("answers to Range requests lack CORS headers", { noCors: true }),

  "tab-closes": {
    about: "the first viewer falls silent in the middle of a segment, and its tab closes",
    stream: "vod",
    at: 3,
    async begin({ withPeers, viewers: [first] }) {
      if (withPeers)
        await first.eval(() => (window.watch.silentAfterBytes = window.watch.channelBytes + 100_000));
      await sleep(1500);
      await first.close();
    },
  },
  offline: {
    about: "the second viewer is offline for 10 s",
    stream: "live",
    at: 3,
    for: 10,
    async begin({ viewers }) {
      await viewers[1].context.setOffline(true);
      await viewers[1].eval(() => (window.watch.offline = true));
    },
    async end({ viewers }) {
      await viewers[1].context.setOffline(false);
      await viewers[1].eval(() => window.watch.goOnline());
    },
    again: hasPeers,
    seconds: 28,
  },
  background: {
    about: "the second viewer's tab is in the background for 10 s, with timers once a second",
    stream: "live",
    at: 3,
    for: 10,
    begin: ({ viewers }) => viewers[1].eval(showAs, "hidden"),
    end: ({ viewers }) => viewers[1].eval(showAs, "visible"),
    again: hasPeers,
    seconds: 20,
  },
  "rendition-switches": {
    about: "the second viewer changes the rendition every 2 segments",
    stream: "abr",
    at: 2,
    for: 12,
    async begin({ viewers: [, viewer] }) {
      for (let n = 0; n < 3; n++) {
        await viewer.eval((level) => (window.viewer.state.hls.nextLevel = level), (n + 1) % 2);
        await sleep(4000);
      }
    },
    seconds: 18,
  },
  "seek-storm": {
    about: "the second viewer seeks 20 times in 10 s",
    stream: "vod",
    at: 2,
    for: 10,
    async begin({ viewers: [, viewer] }) {
      for (let n = 0; n < 20; n++) {
        await viewer.eval((to) => (window.viewer.video.currentTime = to), 5 + ((n * 37) % 150));
        await sleep(480);
      }
    },
    seconds: 20,
  },
  "ice-impossible": {
    about: "no viewer can reach any other",
    stream: "live",
    before: takeCandidatesAway,
  },
  "turn-only": {
    about: "viewers reach each other over a TURN server only (coturn)",
    stream: "live",
    async prepare(side) {
      if (!side.withPeers) return;
      const turn = await startTurn();
      side.cleanUp.push(() => turn.close());
      side.options = { loader: { relayOnly: true, rtcConfig: { iceServers: [turn.iceServer] } } };
    },
    again: hasPeers,
  },
  "without-webrtc": { about: "the browser has no WebRTC", stream: "live", before: hideWebRtc },
  "without-webcrypto": { about: "the page has no WebCrypto", stream: "live", before: hideWebCrypto },
  "clock-ahead": clock(1),
  "clock-behind": clock(-1),
  "playlist-stalls": {
    about: "the live playlist stands still for 6 s, then jumps",
    stream: "live",
    at: 3,
    for: 6,
    begin: ({ stream }) => stream.pause(),
    end: ({ stream }) => stream.resume({ catchUp: true }),
    seconds: 22,
  },
  "sequence-reset": {
    about: "the packager is started again and counts its segments from 0",
    stream: "live",
    at: 3,
    begin: ({ stream }) => stream.renumber(0),
    seconds: 22,
  },
  "playlist-jumps": {
    about: "the live playlist jumps by 5 segments",
    stream: "live",
    at: 3,
    begin: ({ stream }) => stream.jump(5),
    seconds: 18,
  },
};

function showAs(state) {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
  window.watch.sparseTimers = state === "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
}

/** Takes connections and never says anything. */
async function startBlackhole() {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { server: { close }, url: `ws://127.0.0.1:${server.address().port}/` };
}
