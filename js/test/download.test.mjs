import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { load, settle } from "./modules.mjs";

const { download } = await load("http-requests.ts");
const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

/** Writes down what a download tells. */
function listener() {
  const told = [];
  const note =
    (name) =>
    (...args) =>
      told.push([name, ...args]);
  const sink = { opened: note("opened"), bytes: note("bytes"), done: note("done"), failed: note("failed") };
  return { told, sink };
}

async function run(response) {
  const { told, sink } = listener();
  globalThis.fetch = async () => response;
  await download({}, new AbortController().signal, sink);
  return told;
}

test("head, bytes and end of a response are told, in this order", async () => {
  const headers = {
    "content-type": "video/mp2t",
    "content-length": "3",
    "content-range": "bytes 5-7/10",
  };
  assert.deepEqual(await run(new Response(Uint8Array.of(1, 2, 3), { status: 206, headers })), [
    ["opened", 206, 3, 5, 7],
    ["bytes", Uint8Array.of(1, 2, 3)],
    ["done"],
  ]);
  assert.deepEqual(await run(new Response(null, { status: 404, headers })), [["failed", 404]]);
});

test("a length is believed only where the bytes are those that were counted", async () => {
  const lengthOf = async (headers, type) => {
    const response = new Response(Uint8Array.of(1, 2, 3), { headers: { "content-length": "3", ...headers } });
    if (type) Object.defineProperty(response, "type", { value: type });
    const [[, , length, first, last]] = await run(response);
    assert.ok(Number.isNaN(first) && Number.isNaN(last), "no range was told");
    return length;
  };
  assert.equal(await lengthOf({ "content-type": "video/mp4" }), 3);
  assert.equal(await lengthOf({ "content-type": "application/octet-stream" }), 3);
  assert.equal(
    await lengthOf({ "content-type": "text/plain" }),
    Number.NaN,
    "may have been compressed unseen",
  );
  assert.equal(await lengthOf({ "content-type": "text/plain" }, "basic"), 3, "here it would be seen");
  assert.equal(await lengthOf({ "content-type": "video/mp4", "content-encoding": "gzip" }), Number.NaN);
  assert.equal(await lengthOf({ "content-type": "video/mp4", "content-length": "" }), Number.NaN);
  assert.equal(await lengthOf({ "content-type": "video/mp4", "content-length": "3, 3" }), Number.NaN);
  assert.equal(await lengthOf({ "content-type": "video/mp4", "content-length": "3abc" }), Number.NaN);
});

test("a download that the page's own loader does is stopped once, whenever it is given up", async () => {
  const controller = new AbortController();
  let stopped = 0;
  const transport = () => () => stopped++;
  await download(transport, controller.signal, listener().sink);
  assert.equal(stopped, 0);
  controller.abort();
  assert.equal(stopped, 1);
  let started = false;
  await download(
    () => {
      started = true;
    },
    controller.signal,
    listener().sink,
  );
  await settle();
  assert.equal(started, false, "given up while it was prepared");
});
