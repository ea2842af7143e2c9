import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { load, settle } from "./modules.mjs";

const { Host } = await load("host.ts");

let told;
let setup;

beforeEach(() => {
  told = [];
  setup = {
    hooks: {},
    swarm: "https://cdn.example/master.m3u8",
    firstByteLimitMs: 10,
    loadLimitMs: Infinity,
    segment: (key) => ({ key, url: "https://cdn.example/1.ts", byteRange: { start: 10, end: 20 } }),
    request: (...args) => args,
    event: (event) => told.push(event),
    broken: (error) => told.push(["broken", error.message]),
  };
});

const answer = () => {
  const got = [];
  return {
    got,
    delivered: (data, timing) => got.push(["delivered", data.byteLength, timing]),
    failed: ({ kind }) => got.push(["failed", kind]),
    progress: (...numbers) => got.push(["progress", ...numbers]),
  };
};

test("each answer goes to who asked, once", () => {
  const host = new Host(setup);
  const [one, two] = [answer(), answer()];
  const [first, second] = [host.expect(one), host.expect(two)];
  assert.notEqual(first, second);
  host.progress(second, 1, 2, 3, 4);
  host.deliver(second, new Uint8Array(5), 1, 2);
  host.deliver(second, new Uint8Array(6), 1, 2);
  host.fail(first, "status", 404, "");
  host.fail(first, "status", 404, "");
  assert.deepEqual(one.got, [["failed", "status"]]);
  assert.deepEqual(two.got, [
    ["progress", 1, 2, 3, 4],
    ["delivered", 5, { firstByteMs: 1, totalMs: 2 }],
  ]);
  assert.equal(host.forget(second), false);
});

test("a trap ends everything of ours once, and whoever waits is told", async () => {
  const host = new Host(setup);
  const waiting = answer();
  host.expect(waiting);
  const closed = [];
  host.keep({ close: () => closed.push("connection") });
  host.keep({ abort: () => closed.push("download") });
  host.keep({
    close() {
      throw new Error("already closed");
    },
  });
  let calls = 0;
  const run = host.guard(() => {
    calls++;
    throw new WebAssembly.RuntimeError("unreachable");
  });
  run();
  assert.equal(host.dead, true);
  assert.equal(host.signal.aborted, true);
  assert.deepEqual(closed, ["connection", "download"]);
  assert.deepEqual(waiting.got, [], "not in the middle of the call that trapped");
  await settle();
  assert.deepEqual(told, [["broken", "unreachable"]]);
  assert.deepEqual(waiting.got, [["failed", "broken"]]);
  run();
  host.attempt(run);
  await settle();
  assert.equal(calls, 1, "wasm is not entered again");
  assert.equal(told.length, 1);
});

test("only true from the validator is a yes; what it throws is told and is a no", async () => {
  const ask = async (segmentValidator) => {
    const host = new Host({ ...setup, hooks: { segmentValidator } });
    return host.verify("k", "https://cdn.example/x.ts", new Uint8Array([1, 2]), true);
  };
  let seen;
  assert.equal(
    await ask((segment, data) => {
      seen = [segment, data];
      return true;
    }),
    true,
  );
  assert.deepEqual(seen[0], {
    key: "k",
    url: "https://cdn.example/x.ts",
    byteRange: { start: 10, end: 20 },
    fromPeers: true,
  });
  assert.deepEqual(new Uint8Array(seen[1]), new Uint8Array([1, 2]));
  assert.equal(await ask(async () => true), true);
  assert.equal(await ask(() => 1), false);
  assert.equal(
    await ask(() => {
      throw new Error("no key");
    }),
    false,
  );
  assert.deepEqual(told, [
    { type: "error", message: "loader.segmentValidator failed: no key", fatal: false },
  ]);
});

test("the storage is asked for whole segments only, by a key that holds the swarm", async () => {
  const asked = [];
  const bytes = new Uint8Array([1, 2, 3]);
  const segmentsStorage = {
    get: async (key) => {
      asked.push(key);
      return bytes.buffer;
    },
    store() {
      throw new Error("quota");
    },
    remove: (key) => Promise.reject(new Error(`cannot remove ${key}`)),
  };
  const host = new Host({ ...setup, hooks: { segmentsStorage } });
  assert.equal(await host.stored("t/0/7", 15, 20), undefined);
  assert.deepEqual(asked, []);
  const found = await host.stored("t/0/7", 10, 20);
  assert.deepEqual(found, bytes);
  assert.notEqual(found.buffer, bytes.buffer, "a copy");
  assert.deepEqual(asked, ["https://cdn.example/master.m3u8 t/0/7"]);
  host.store("t/0/7", bytes);
  host.unstore("t/0/7");
  await settle();
  assert.deepEqual(
    told.map(({ message }) => message),
    [
      "loader.segmentsStorage.store failed: quota",
      "loader.segmentsStorage.remove failed: cannot remove https://cdn.example/master.m3u8 t/0/7",
    ],
  );
});

test("the URL builder sees the segment; what it throws is a failed download, not a broken engine", async () => {
  const host = new Host({
    ...setup,
    hooks: { segmentUrlBuilder: ({ url, byteRange }) => `${url}?from=${byteRange.start}` },
  });
  const signal = new AbortController().signal;
  assert.deepEqual(host.request("k", "https://cdn.example/y.ts", 10, 20, signal), [
    "k",
    "https://cdn.example/y.ts?from=10",
    { start: 10, end: 20 },
    signal,
  ]);
  const failing = new Host({
    ...setup,
    hooks: {
      segmentUrlBuilder() {
        throw new Error("no URL");
      },
    },
  });
  await assert.rejects(failing.request("k", "u", 0, -1, signal), /no URL/);
  assert.equal(failing.dead, false);
});

test("time limits that no timer can take are as good as none", () => {
  const host = new Host(setup);
  assert.equal(host.firstByteLimitMs, 10);
  assert.equal(host.loadLimitMs, 2 ** 31 - 1);
});
