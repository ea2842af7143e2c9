// The page of the demo. What a page of your own needs of it are the two lines marked so.
import Hls from "hls.js";
import { hlsPresets } from "hlswarm";
import { attachP2P } from "hlswarm/hls"; // one
import { RateChart } from "./chart.mjs";
import * as view from "./view.mjs";

const video = document.getElementById("video");
const quality = document.getElementById("quality");
const sharing = document.getElementById("p2p");
const chart = new RateChart(document.getElementById("chart"));

// The server that `npm start` runs tells where its streams and its tracker are.
const { trackers, streams } = await (await fetch("/demo.json")).json();
const wishes = new URLSearchParams(location.search);
const wanted = document.querySelector(
  `input[name="stream"][value="${CSS.escape(wishes.get("stream") ?? "")}"]`,
);
if (wanted) wanted.checked = true;
sharing.checked = wishes.get("p2p") !== "off";

let hls;
let p2p;
let stalls = 0;
let playing = false;

/** Plays the chosen stream from its beginning. */
function start() {
  hls?.destroy();
  stalls = 0;
  playing = false;
  chart.reset();
  view.clearHistory();
  view.showTrouble("");
  const stream = document.querySelector('input[name="stream"]:checked').value;
  document.getElementById("another").href = `?stream=${stream}`;

  hls = new Hls({ ...hlsPresets[stream] });
  p2p = attachP2P(hls, { presets: stream, loader: { trackerAnnounce: trackers, useP2P: sharing.checked } }); // two
  follow(p2p);
  p2p.ready.catch((error) =>
    view.showTrouble(`hlswarm could not start, the video plays on over HTTP: ${error.message}`),
  );

  hls.on(Hls.Events.MANIFEST_PARSED, (_, { levels }) => {
    const names = levels.map(({ height }) => `${height}p`);
    quality.replaceChildren(new Option("Auto", "-1"), ...names.map((name, i) => new Option(name, String(i))));
  });
  hls.on(Hls.Events.ERROR, (_, { fatal, details }) => {
    if (details === "bufferStalledError") return;
    view.addEvent(`player: ${details}`, true);
    if (fatal)
      view.showTrouble(`The video cannot be played (${details}). Is the demo's server still running?`);
  });
  window.demo = { hls, p2p, video, stalls: () => stalls };
  window.dispatchEvent(new Event("demo-start"));
  hls.loadSource(streams[stream]);
  hls.attachMedia(video);
  video.play().catch(() => {});
}

function follow(session) {
  const peer = (id) => id.slice(-6);
  session.on("segmentLoaded", view.addSegment);
  session.on("segmentFailed", ({ key, message }) =>
    view.addEvent(`segment ${key.sequence} failed: ${message}`, true),
  );
  session.on("fallback", ({ key, reason }) =>
    view.addEvent(`segment ${key.sequence} goes over HTTP: ${reason}`),
  );
  session.on("peerConnected", (event) => view.addEvent(`${peer(event.peer)} connected`));
  session.on("peerClosed", (event) =>
    view.addEvent(`${peer(event.peer)} closed: ${reasonText(event.reason)}`),
  );
  session.on("trackerConnected", ({ url }) => view.addEvent(`tracker ${url} connected`));
  session.on("trackerClosed", ({ url, reason }) => view.addEvent(`tracker ${url} closed: ${reason}`, true));
  session.on("trackerError", ({ message }) => view.addEvent(`tracker: ${message}`, true));
  session.on("error", ({ message, fatal }) => {
    view.addEvent(message, true);
    if (fatal) view.showTrouble(`hlswarm is out of action, the video plays on over HTTP: ${message}`);
  });
}

const reasonText = (reason) => (typeof reason === "string" ? reason : Object.values(reason).join(", "));

// A stall is a pause that nobody asked for: playback has begun and the player waits for media.
video.addEventListener("playing", () => {
  playing = true;
});
video.addEventListener("waiting", () => {
  if (playing && !video.seeking && !video.ended) stalls++;
});

for (const radio of document.querySelectorAll('input[name="stream"]'))
  radio.addEventListener("change", start);
quality.addEventListener("change", () => {
  hls.nextLevel = Number(quality.value);
});
sharing.addEventListener("change", () => p2p.setP2P(sharing.checked));
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());

if (wishes.has("prove")) await import("./prove.mjs");
start();

setInterval(() => {
  const stats = p2p.stats();
  chart.add(stats);
  view.showStats(stats);
  const level = hls.levels[hls.currentLevel];
  view.showPlayer(video, { level: level && `${level.height}p`, stalls });
}, 1000);

setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch("/origin.json").catch(() => undefined);
  if (answer?.ok) view.showOrigin(await answer.json());
}, 2000);
