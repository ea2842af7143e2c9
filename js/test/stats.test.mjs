import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { NO_STATS, addTotals } = await load("stats.ts");

test("what earlier engines of the page counted stays in the sums, and the rest is of now", () => {
  const engine = (factor) => ({
    ...NO_STATS,
    httpBytes: factor,
    p2pBytes: 2 * factor,
    uploadedBytes: 3 * factor,
    wastedBytes: 4 * factor,
    peers: 5 * factor,
    integrity: {
      mode: "auto",
      records: factor,
      verifiedBytes: 2 * factor,
      checks: 3 * factor,
      checkBytes: 4 * factor,
      disputes: 5 * factor,
      refusedSegments: 6 * factor,
      refusedBytes: 7 * factor,
    },
  });
  const sum = addTotals(engine(10), engine(1));
  const { httpBytes, p2pBytes, uploadedBytes, wastedBytes, peers, integrity } = sum;
  assert.deepEqual([httpBytes, p2pBytes, uploadedBytes, wastedBytes, peers], [11, 22, 33, 44, 5]);
  assert.deepEqual(integrity, {
    mode: "auto",
    records: 1,
    verifiedBytes: 22,
    checks: 33,
    checkBytes: 44,
    disputes: 55,
    refusedSegments: 66,
    refusedBytes: 77,
  });
});
