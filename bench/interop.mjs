// npm run bench:interop -- [--mixes 2+0,1+1,...] [--streams vod,live] [--seconds N] [--trackers ours,reference]
//
// Viewers of p2p-media-loader and of hlswarm with `interop` on one stream, in real browsers: "4+1" is four stock viewers and
// one of ours, joining a second apart, the kinds in turn. Prints how much of what each kind fetched came from peers, beside
// swarms of stock viewers alone, and fails if any buffer differs from the origin's, or if in any mix one kind gave the other
// nothing.
import { commandLine, refuse } from "../scripts/lib/options.mjs";
import { startTestWorld } from "../tests/browser/harness/setup.mjs";
import { startReferenceTracker } from "./trackers.mjs";

const {
  values: options,
  whole,
  list,
} = commandLine(
  "npm run bench:interop -- [options]: viewers of p2p-media-loader and of hlswarm on one stream",
  {
    mixes: { default: "2+0,1+1,4+0,2+2,5+0,4+1", help: "stock viewers and viewers of ours" },
    streams: { default: "vod,live", help: "what is played" },
    seconds: { default: "28", help: "how long" },
    trackers: { default: "ours,reference", help: "where they meet: our tracker, or bittorrent-tracker" },
  },
);
const seconds = whole("seconds");
const mixes = options.mixes.split(",").map((mix) => {
  const [, stock, ours] = /^(\d)\+(\d)$/.exec(mix) ?? [];
  if (stock === undefined)
    refuse(`--mixes "${mix}": allowed is as in 4+1, stock viewers and viewers of ours`);
  return { mix, kinds: inTurn(Number(stock), Number(ours)) };
});
const streams = list("streams", ["vod", "live"]);
const trackers = list("trackers", ["ours", "reference"]);

/** Stock viewers first, then one of each kind while there are some. */
function inTurn(stock, ours) {
  const kinds = [];
  while (kinds.length < stock + ours) {
    const stockSoFar = kinds.filter((kind) => kind === "p2pml").length;
    kinds.push(
      stockSoFar < stock && stockSoFar * ours <= (kinds.length - stockSoFar) * stock ? "p2pml" : "hlswarm",
    );
  }
  return kinds;
}

/**
 * Players of both kinds are alike. Left to itself p2p-media-loader puts its own far behind the edge, where nothing is to be had
 * from it for who plays near it. And its viewers take over HTTP what they need within 15 s: in a short window that is all.
 */
const players = { vod: {}, live: { liveSyncDurationCount: 12, maxBufferLength: 15 } };
const liveWindow = 16;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ratio = (reports) => {
  const p2p = reports.reduce((sum, it) => sum + it.p2pBytes, 0);
  const all = reports.reduce((sum, it) => sum + it.p2pBytes + it.httpBytes, 0);
  return all ? `${((100 * p2p) / all).toFixed(1)} %` : "-";
};

/** Bytes that the viewers of ours got from stock viewers, or gave them. */
const between = (reports, key) =>
  reports
    .flatMap((it) => it.stats.peerList)
    .filter(({ peer }) => peer.startsWith("-PM"))
    .reduce((sum, peer) => sum + peer[key], 0);
const kilobytes = (bytes) => `${Math.round(bytes / 1000)} KB`;

const world = await startTestWorld();
const reference = await startReferenceTracker();
const urls = { ours: world.tracker.url, reference: reference.url };
let barren = 0;
try {
  console.log(
    "| tracker | stream | mix | P2P ratio | of stock viewers | of ours | stalls | stock to ours | ours to stock |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|");
  for (const tracker of trackers) {
    for (const stream of streams) {
      for (const { mix, kinds } of mixes) {
        const url = stream === "vod" ? await world.vod("ts") : await world.live({ window: liveWindow });
        const viewers = [];
        for (const [i, mode] of kinds.entries()) {
          if (i > 0) await sleep(1000);
          const p2pOptions = mode === "hlswarm" ? { interop: "p2p-media-loader" } : {};
          const settings = { mode, p2pOptions, trackers: [urls[tracker]], hlsConfig: players[stream] };
          viewers.push(await world.play(`${mode} ${i}`, url, settings));
        }
        await sleep(seconds * 1000);
        const reports = await world.verify(viewers, { errors: [/./] });
        const of = (kind) => reports.filter((_, i) => kinds[i] === kind);
        const stalls = reports.reduce((sum, it) => sum + it.stalls.length, 0);
        const [got, gave] = ["downloadedBytes", "uploadedBytes"].map((key) => between(of("hlswarm"), key));
        const mixed = of("hlswarm").length > 0 && of("p2pml").length > 0;
        if (mixed && !(got && gave)) barren++;
        const cells = [
          tracker === "ours" ? "hlswarm-tracker" : "bittorrent-tracker",
          stream,
          mix,
          ratio(reports),
          ratio(of("p2pml")),
          ratio(of("hlswarm")),
          stalls,
          ...(mixed ? [kilobytes(got), kilobytes(gave)] : ["-", "-"]),
        ];
        console.log(`| ${cells.join(" | ")} |`);
        await world.closeViewers();
      }
    }
  }
} finally {
  await world.close();
  await reference.close();
}
if (barren) {
  console.error(`in ${barren} of the mixes one kind of viewer gave the other nothing`);
  process.exitCode = 1;
}
