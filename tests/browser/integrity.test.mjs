// A page that sends wrong bytes, in every way, and what the others play: with signed records and without.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const shortBuffer = { maxBufferLength: 4, maxMaxBufferLength: 4 };
const everything = { hlsConfig: { maxBufferLength: 120 } };
const holdsAll = ({ cached }) => cached >= 14;

/** Those that make whole blocks of a segment wrong; the others say or send too little or too much. */
const forged = ["same size", "one bit", "another segment", "another rendition"];
const crooked = ["shorter", "longer", "truncated", "empty"];

/**
 * Takes WebCrypto away from hlswarm; the page's own script still compares digests with it. Counts what workers of hlswarm
 * answer.
 */
function hideWebCrypto() {
  window.hashed = 0;
  window.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      if (new Error().stack.split("\n")[2].includes("/hlswarm/"))
        this.addEventListener("message", () => window.hashed++);
    }
  };
  const { subtle } = crypto;
  Object.defineProperty(crypto, "subtle", {
    get: () => (new Error().stack.split("\n")[2].includes("/hlswarm/") ? undefined : subtle),
  });
}

/**
 * A page that has everything and sends it corrupt, and another one that plays beside it, in a swarm of their own.
 *
 * @returns the viewer's report, and whether it banned the liar
 */
async function playBesideLiar(kind, url, p2pOptions) {
  const other = { "another segment": [url, 7, 0], "another rendition": [await world.vod("abr"), 3, 1] }[kind];
  const liar = await world.play(`liar: ${kind}`, url, { ...everything, p2pOptions });
  await liar.until("holds it all", holdsAll);
  await liar.eval(
    async ([kind, url]) => {
      const forgery = url && new Uint8Array(await (await fetch(url)).arrayBuffer());
      Object.assign(window.watch, { corrupt: kind, forgery });
    },
    [kind, other && (await segmentOf(...other))],
  );
  const viewer = await world.play(`viewer of ${kind}`, url, { hlsConfig: shortBuffer, p2pOptions });
  await until(`${kind}: something was sent`, () => liar.eval(() => window.watch.corrupted > 0));
  // By then it has wanted four segments or more while the liar was its only peer, or has banned it.
  await viewer.until("plays on", ({ position, buffers }) => position > 5 && buffers >= 4);
  const [report] = await world.verify([viewer]);
  const banned = report.events.some(({ name, event }) => name === "peerClosed" && event.reason.violation);
  return { report, banned };
}

/** Plays beside a liar of each kind, four of them at a time. */
async function playBesideEach(kindOf) {
  for (const some of [forged, crooked]) {
    await Promise.all(some.map(kindOf));
    await world.closeViewers();
  }
}

/** The URL of a segment of a playlist of the stream. */
async function segmentOf(url, n, rendition = 0) {
  const uris = async (at) => (await world.origin.bytesAt(at)).toString().match(/^[^#\s].*$/gm);
  const playlist = new URL((await uris(url))[rendition], url).href;
  return new URL((await uris(playlist))[n], playlist).href;
}

test("with signed records no corrupt byte is played, whatever a page sends", {
  timeout: 400_000,
}, async () => {
  await playBesideEach(async (kind) => {
    const { url, integrity, close } = await world.signedVod();
    try {
      const { report, banned } = await playBesideLiar(kind, url, { integrity });
      assert.equal(report.stats.integrity.records, 15, kind);
      assert.equal(banned, forged.includes(kind), `${kind}: banned`);
      if (forged.includes(kind)) assert.ok(report.stats.integrity.refusedSegments > 0, kind);
    } finally {
      close();
    }
  });
});

test("without signatures a corrupt page is shut out", { timeout: 400_000 }, async () => {
  await playBesideEach(async (kind) => {
    const { report, banned } = await playBesideLiar(kind, await world.vod("ts"), {});
    const { mode, checks, disputes } = report.stats.integrity;
    console.log(`${kind}: 0 wrong buffers, ${checks} checks, ${disputes} disputes`);
    assert.equal(mode, "auto");
    if (forged.includes(kind)) assert.ok(banned, `${kind}: banned`);
  });
});

test("honest pages share what is signed, also where WebCrypto is missing", { timeout: 180_000 }, async () => {
  const { url, integrity, close } = await world.signedVod();
  try {
    const p2pOptions = { integrity };
    const a = await world.play("a", url, { ...everything, p2pOptions });
    await a.until("holds it all", holdsAll);
    const b = await world.play("b", url, {
      hlsConfig: shortBuffer,
      p2pOptions,
      open: { before: hideWebCrypto },
    });
    await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 300_000);
    await b.until("plays on", ({ position }) => position > 5);
    const hashed = await b.eval(() => window.hashed);
    assert.ok(hashed >= 5, `a worker hashed ${hashed} blocks`);
    for (const { stats } of await world.verify([a, b])) {
      assert.equal(stats.integrity.records, 15);
      assert.ok(stats.integrity.verifiedBytes > 300_000);
      assert.equal(stats.integrity.refusedSegments, 0);
    }
  } finally {
    close();
  }
});

/** Makes each digest fail that hlswarm asks for, as where memory is short. */
function breakWebCrypto() {
  const { digest } = SubtleCrypto.prototype;
  SubtleCrypto.prototype.digest = function (...args) {
    if (!new Error().stack.split("\n")[2].includes("/hlswarm/")) return digest.apply(this, args);
    window.watch.refusedDigests = (window.watch.refusedDigests ?? 0) + 1;
    return Promise.reject(new DOMException("no memory", "OperationError"));
  };
}

test("where WebCrypto fails the engine hashes, and nobody waits", async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { ...everything, open: { before: breakWebCrypto } });
  await a.until("holds it all", holdsAll);
  assert.ok((await a.eval(() => window.watch.refusedDigests)) > 0);
  const b = await world.play("b", url, { hlsConfig: shortBuffer, open: { before: breakWebCrypto } });
  await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 300_000);
  await b.until("plays on", ({ position }) => position > 5);
  await world.verify([a, b]);
});

test("a page without keys takes signed segments from one that has them", { timeout: 180_000 }, async () => {
  const { url, integrity, close } = await world.signedVod();
  try {
    const a = await world.play("signed", url, { ...everything, p2pOptions: { integrity } });
    await a.until("holds it all", holdsAll);
    const b = await world.play("without keys", url, { hlsConfig: shortBuffer });
    await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 300_000);
    const [{ peers, events }] = await world.verify([b]);
    assert.equal(peers, 1, "the proofs, which it does not know, cost no link");
    assert.deepEqual(
      events.filter(({ name }) => name === "peerClosed"),
      [],
    );
  } finally {
    close();
  }
});

test("without records nothing is shared, playback goes on, and the page is told", async () => {
  const { integrity: keys, close } = await world.signedVod();
  close();
  const url = await world.vod("ts");
  const integrity = { ...keys, sidecar: "{playlist}.records" };
  const viewers = [];
  for (const name of ["a", "b"]) {
    viewers.push(await world.play(name, url, { hlsConfig: shortBuffer, p2pOptions: { integrity } }));
    await viewers.at(-1).until("plays", ({ started }) => started);
  }
  for (const viewer of viewers) await viewer.until("plays on", ({ position }) => position > 4);
  const told = async () => (await viewers[0].report()).events.find(({ name }) => name === "recordsRefused");
  const { event } = await until("the page is told", told, { timeoutMs: 60_000 });
  assert.match(event.reason, /\.m3u8\.records: HTTP status 404/);
  for (const report of await world.verify(viewers)) {
    assert.equal(report.p2pBytes, 0);
    assert.ok(report.position > 4);
  }
});
