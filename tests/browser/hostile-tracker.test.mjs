// A tracker that means harm, beside a good one: it can withhold peers and waste a little, and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { harms, startHostileTracker } from "./harness/hostile-tracker.mjs";
import { useTestWorld, world } from "./harness/setup.mjs";
import { until } from "./harness/world.mjs";

useTestWorld();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("a hostile tracker wastes little, and the good one beside it still brings peers", {
  timeout: 120_000,
}, async () => {
  const url = await world.vod("ts");
  const a = await world.play("a", url, { hlsConfig: { maxBufferLength: 120 } });
  await a.until("holds it all", ({ cached }) => cached >= 14);
  const evil = await startHostileTracker();
  try {
    const b = await world.play("b", url, {
      hlsConfig: { maxBufferLength: 4, maxMaxBufferLength: 4 },
      trackers: [evil.url, world.tracker.url],
    });
    await b.until("gets segments from the peer", ({ p2pBytes }) => p2pBytes > 100_000);
    await until("the hostile tracker was told of the page", () => evil.announces > 0);
    const seen = {};
    for (const harm of harms) {
      const before = { announces: evil.announces, connections: evil.connections };
      const made = await b.eval(() => window.watch.connections.length);
      evil.do(harm);
      let open = 0;
      for (let n = 0; n < 30; n++) {
        open = Math.max(open, (await b.status()).connections);
        await sleep(100);
      }
      seen[harm] = {
        open,
        made: (await b.eval(() => window.watch.connections.length)) - made,
        announces: evil.announces - before.announces,
        connections: evil.connections - before.connections,
      };
    }
    for (const [harm, { open, made, announces, connections }] of Object.entries(seen)) {
      // Eight on their way, ten offered, and the one to the honest peer; some are being closed.
      assert.ok(open <= 8 + 10 + 20, `${harm}: ${open} connections at a time`);
      assert.ok(made <= 60, `${harm}: ${made} connections made in three seconds`);
      assert.ok(announces <= 8, `${harm}: ${announces} announces in three seconds`);
      assert.ok(connections <= 6, `${harm}: connected ${connections} times in three seconds`);
    }
    const status = await b.status();
    assert.equal(status.peers, 1, "the honest peer and nobody else");
    const [, report] = await world.verify([a, b]);
    const errors = report.events.filter(({ name }) => name === "trackerError");
    assert.ok(errors.length >= 1 && errors.length <= 40, `${errors.length} times it is told`);
    for (const { event } of errors) assert.ok(event.message.length < 1000, "and not at length");
    assert.deepEqual(
      report.stalls.map(({ ms }) => ms),
      [],
      "nothing of it is noticed",
    );
  } finally {
    await evil.close();
  }
});
