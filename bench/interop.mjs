// npm run bench:interop -- [--mixes 4+0,2+2,4+1] [--streams vod,live] [--seconds N] [--tracker ours|reference]
//
// Viewers of p2p-media-loader and of hlswarm with `interop` on one stream, in real browsers: "4+1" is four stock viewers and
// one of ours, joining a second apart, the kinds in turn. Prints how much of what each kind fetched came from peers, beside
// a swarm of stock viewers alone, and fails if any buffer differs from the origin's.
import { parseArgs } from "node:util";
import { startTestWorld } from "../tests/browser/harness/setup.mjs";
import { startReferenceTracker } from "./trackers.mjs";

const { values: options } = parseArgs({
  options: {
    mixes: { type: "string", default: "4+0,2+2,4+1" },
    streams: { type: "string", default: "vod,live" },
    seconds: { type: "string", default: "28" },
    tracker: { type: "string", default: "ours" },
  },
});
const seconds = Number(options.seconds);
if (!(seconds > 0)) throw new Error(`--seconds: "${options.seconds}" is not a number above 0`);
const mixes = options.mixes.split(",").map((mix) => {
  const [, stock, ours] = /^(\d)\+(\d)$/.exec(mix) ?? [];
  if (stock === undefined)
    throw new Error(`--mixes: "${mix}" is not as in 4+1: stock viewers, viewers of ours`);
  return { mix, kinds: inTurn(Number(stock), Number(ours)) };
});
const streams = options.streams.split(",");
for (const stream of streams)
  if (stream !== "vod" && stream !== "live")
    throw new Error(`--streams: no stream "${stream}"; there are vod, live`);
if (options.tracker !== "ours" && options.tracker !== "reference")
  throw new Error(`--tracker: "${options.tracker}" is not ours or reference`);

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

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ratio = (reports) => {
  const p2p = reports.reduce((sum, it) => sum + it.p2pBytes, 0);
  const all = reports.reduce((sum, it) => sum + it.p2pBytes + it.httpBytes, 0);
  return all ? `${((100 * p2p) / all).toFixed(1)} %` : "-";
};

const world = await startTestWorld();
const reference = options.tracker === "reference" ? await startReferenceTracker() : undefined;
try {
  console.log("| stream | mix | P2P ratio | of stock viewers | of ours | stalls | links between the kinds |");
  console.log("|---|---|---|---|---|---|---|");
  for (const stream of streams) {
    for (const { mix, kinds } of mixes) {
      const url = stream === "vod" ? await world.vod("ts") : await world.live({ window: 8 });
      const viewers = [];
      for (const [i, mode] of kinds.entries()) {
        if (i > 0) await sleep(1000);
        const p2pOptions = mode === "hlswarm" ? { interop: "p2p-media-loader" } : {};
        const trackers = [reference?.url ?? world.tracker.url];
        viewers.push(await world.play(`${mode} ${i}`, url, { mode, p2pOptions, trackers }));
      }
      await sleep(seconds * 1000);
      const reports = await world.verify(viewers, { errors: [/./] });
      const of = (kind) => reports.filter((_, i) => kinds[i] === kind);
      const stalls = reports.reduce((sum, it) => sum + it.stalls.length, 0);
      const links = of("hlswarm").flatMap((it) =>
        it.stats.peerList.filter(({ peer }) => peer.startsWith("-PM")),
      );
      const cells = [
        stream,
        mix,
        ratio(reports),
        ratio(of("p2pml")),
        ratio(of("hlswarm")),
        stalls,
        links.length,
      ];
      console.log(`| ${cells.join(" | ")} |`);
      await world.closeViewers();
    }
  }
} finally {
  await world.close();
  await reference?.close();
}
