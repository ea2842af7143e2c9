// Hostile peers that speak our wire from a script, against real pages: every row of the table in SECURITY.md. The same
// rows play against the engine alone in tests/hostile_peers.rs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { attack, openDeaf } from "./harness/attack.mjs";
import { useTestWorld, world } from "./harness/setup.mjs";

useTestWorld();

const shortBuffer = { maxBufferLength: 4, maxMaxBufferLength: 4 };

/** What shows that a row's bound held: how the victim tells the end of the link, if it ends it, and what was seen. */
const expected = {
  malformed_frame: { told: /violation/ },
  "malformed_frame: noise": { told: /violation/ },
  "malformed_frame: a text": { told: /violation/ },
  "malformed_frame: nothing": { told: /violation/ },
  "malformed_frame: a second channel": { told: /violation/ },
  "malformed_frame: a request before hello": { told: /violation.*not a hello/ },
  truncated_frame: { told: /violation/ },
  control_message_size: { told: /violation.*4097/, skipped: (it) => it === true },
  data_message_size: { told: /violation/ },
  oversize_claim: { told: /16777216 are allowed/, givenUp: (it) => it === true },
  a_claim_that_changes: { told: /had 150000 bytes before and 155000 now/ },
  slow_peer: { left: (it) => it === true },
  unrequested_data: { told: /violation.*not asked for/ },
  lying_availability: { asked: (it) => it >= 3, askedLater: (it) => it === 0 },
  availability_flood: { told: /violation.*announcements/ },
  availability_without_end: { segments: (it) => it > 2040 && it <= 64 * 2048 },
  request_flood: { told: /asking too much/, rateLimited: (it) => it >= 50 },
  cancel_storm: { told: /asking too much/ },
  request_numbers: { told: /request 9 after request 7/, firstNumber: (it) => it > 1000 },
  answers_to_nothing: { told: /violation/ },
  chatter: { told: /violation.*small frames/, pongs: (it) => it <= 120 },
  silence_before_hello: { told: /timeout/, closedAfterMs: (it) => it > 9000 },
  silence_after_hello: { told: /3 pings were not answered/, pings: (it) => it >= 3 },
  another_hello: { told: /a second hello/ },
  "another_hello: of another swarm": { told: /incompatible/ },
  "another_hello: of whom the tracker did not tell": { told: /violation.*the tracker told/ },
  bad_data: { told: /banned/, back: (it) => it === false },
  link_lost_in_the_middle: { told: /left|connectionLost/ },
  goodbye: { told: /left/ },
};
const beside = [
  "silence_before_hello",
  "silence_after_hello",
  "slow_peer",
  "lying_availability",
  "availability_without_end",
];

/** Holds the results of attacks against what is expected. */
function judge(results, events) {
  for (const { name, peerId, opened, ...seen } of results) {
    const { told, ...facts } = expected[name];
    assert.ok(opened, `${name}: no channel came about`);
    for (const [fact, holds] of Object.entries(facts))
      assert.ok(holds(seen[fact]), `${name}: ${fact} is ${seen[fact]}`);
    const reasons = events
      .filter(({ name, event }) => name === "peerClosed" && event.peer === peerId)
      .map(({ event }) => JSON.stringify(event.reason));
    if (told) assert.match(reasons.join(), told, `${name}: ${JSON.stringify(seen)}`);
    assert.ok(reasons.length <= 2, `${name}: told ${reasons}`);
  }
}

/** Bytes that a page's scripts hold, after what can be collected was. */
async function heldBytes(viewer) {
  const session = await viewer.context.newCDPSession(viewer.page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize + backingStorageSize;
}

const stalledMs = ({ stalls }) => stalls.reduce((sum, { ms }) => sum + ms, 0);

test("hostile peers of every kind are held in bounds, and the viewer plays on beside them", {
  timeout: 240_000,
}, async () => {
  const url = await world.vod("ts", { segments: 100 });
  // It has the beginning only, so that for what comes then the victim has nobody to ask but the attackers.
  const honest = await world.play("honest", url, {
    hlsConfig: { maxBufferLength: 12, maxMaxBufferLength: 12 },
    p2pOptions: { limits: { maxPeers: 1 } },
  });
  await honest.until("has the beginning", ({ started, cached }) => started && cached >= 6);
  await honest.eval(() => window.viewer.video.pause());
  const victim = await world.play("victim", url, {
    hlsConfig: shortBuffer,
    p2pOptions: { limits: { pingIntervalMs: 6000 } },
  });
  const alone = await world.play("alone", url, { mode: "http", hlsConfig: shortBuffer });
  await victim.until("gets segments from the honest peer", ({ p2pBytes }) => p2pBytes > 100_000);
  await victim.until("plays", ({ position }) => position > 8);
  const heldBefore = await heldBytes(victim);

  const names = Object.keys(expected).filter((name) => !beside.includes(name));
  const segmentsClaimedBy = (peerId) =>
    victim.eval(
      (id) => window.viewer.state.p2p.stats().peerList.find(({ peer }) => peer === id)?.segments,
      peerId,
    );
  const results = await attack(world, victim, url, { names, beside, functions: { segmentsClaimedBy } });
  await victim.until("has its honest peer and no other", ({ peers }) => peers === 1);
  const { position } = await victim.status();
  await victim.until("plays on", (now) => now.position > position + 3);
  const [report] = await world.verify([victim, alone, honest]);
  judge(results, report.events);
  const asked = results.map(({ firstNumber }) => firstNumber).filter(Boolean);
  assert.equal(new Set(asked).size, asked.length);

  const held = (await heldBytes(victim)) - heldBefore;
  const [cached, stalled, stalledAlone] = [
    report.stats.cache.bytes,
    stalledMs(report),
    stalledMs(await alone.report()),
  ];
  console.log(
    `${results.length} attacks in ${Math.round(position)} s: 0 wrong buffers of ${report.buffers.length}, ` +
      `${(held / 1e6).toFixed(1)} MB more held (cache ${(cached / 1e6).toFixed(1)} MB), ` +
      `stalled ${Math.round(stalled)} ms, alone ${Math.round(stalledAlone)} ms`,
  );
  assert.ok(held < cached + 16e6, `${held} bytes more are held, ${cached} of them in the cache`);
  assert.ok(stalled <= stalledAlone + 250, `stalled ${stalled} ms, alone ${stalledAlone} ms`);
  const fatal = report.events.filter(({ name, event }) => name === "error" && event.fatal);
  assert.deepEqual(fatal, []);
});

test("claims about byte ranges, much offered and segments without end take no more memory than they may", {
  timeout: 120_000,
}, async () => {
  const url = await world.vod("byterange", { segments: 100 });
  const receiveBytesPerPeer = 400_000;
  const cacheBytes = 700_000;
  const victim = await world.play("victim", url, {
    hlsConfig: shortBuffer,
    p2pOptions: {
      loader: { simultaneousP2PDownloads: 200, p2pDownloadMaxPriority: 100, cacheBytes },
      limits: { receiveBytesPerPeer },
    },
  });
  await victim.until("plays", ({ position }) => position > 0.5);
  const most = { cached: 0, evicted: 0 };
  const watching = setInterval(async () => {
    const { cache } = await victim.eval(() => window.viewer.state.p2p.stats()).catch(() => ({}));
    most.cached = Math.max(most.cached, cache?.bytes ?? 0);
  }, 100);
  try {
    const names = ["claim_against_the_byte_range", "receive_memory"];
    const [claim, memory] = await attack(world, victim, url, { names });
    await victim.eval(() =>
      Object.assign(window.viewer.state.hls.config, { maxBufferLength: 60, maxMaxBufferLength: 60 }),
    );
    const [cache] = await attack(world, victim, url, { names: ["cache"] });
    for (const { name, opened, closedAfterMs } of [claim, memory, cache]) {
      assert.ok(opened, `${name}: no channel came about`);
      assert.equal(closedAfterMs, undefined, `${name}: it broke no rule`);
    }
    assert.ok(claim.givenUp);
    assert.equal(memory.unbounded, 0);
    assert.ok(memory.most > 100_000 && memory.most <= receiveBytesPerPeer, `${memory.most} bytes in flight`);
    assert.ok(cache.asked >= 14);
    const [{ p2pBytes, events }] = await world.verify([victim]);
    most.evicted = events.filter(({ name }) => name === "segmentEvicted").length;
    assert.ok(p2pBytes > 2 * cacheBytes, `${p2pBytes} bytes came from the attacker`);
    assert.ok(most.cached > 0 && most.cached <= cacheBytes, `${most.cached} bytes in the cache`);
    assert.ok(most.evicted > 0);
  } finally {
    clearInterval(watching);
  }
});

test("a peer that asks and does not read is served no further, and links have an end", {
  timeout: 180_000,
}, async () => {
  const url = await world.vod("ts", { segments: 100 });
  const victim = await world.play("victim", url, {
    hlsConfig: { maxBufferLength: 60, maxMaxBufferLength: 60 },
    // Or all of it were sent before the process can be stopped.
    p2pOptions: { loader: { uploadBytesPerSecond: 1_000_000 } },
  });
  await victim.until("has much", ({ cached }) => cached >= 20);
  let asks;
  let seen;
  // What is on its way when the process is stopped may be all that is sent: then nothing waits, and nothing was tried.
  for (let tries = 0; tries < 5 && !seen?.mostUnsent; tries++) {
    const deaf = await openDeaf(world, victim);
    seen = deaf.seen;
    const { page, standStill } = deaf;
    const names = ["send_buffer"];
    [asks] = await attack(world, victim, url, { page, names, functions: { standStill }, firstKept: 0 });
    assert.ok(asks.opened);
  }
  assert.ok(seen.mostUnsent > 0 && seen.mostUnsent <= 512 * 1024 + 65_536, `${seen.mostUnsent} bytes wait`);
  assert.ok(asks.busy > 0, "the rest is refused");

  const peersOfVictim = async () => (await victim.status()).peers;
  const [links] = await attack(world, victim, url, { names: ["connections"], functions: { peersOfVictim } });
  assert.ok(links.most <= 30 && links.open <= 30, JSON.stringify(links));
  assert.ok(links.most >= 20, `only ${links.most} of ${links.tried} links were taken`);
  await victim.until("is alone again", ({ peers }) => peers === 0);
  const { position } = await victim.status();
  await victim.until("plays on", (now) => now.position > position + 2);
  await world.verify([victim]);
});
