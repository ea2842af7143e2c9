import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { afterEach, test } from "node:test";
import { load } from "./modules.mjs";

const { Sidecars, checkSignature } = await load("signed.ts");
const library = await load("ed25519.ts");

const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

/** A web of files: bytes, or a status. */
function serve(files) {
  const asked = [];
  globalThis.fetch = async ({ url, headers }) => {
    asked.push(url);
    serve.headers = headers;
    const file = files[url] ?? 404;
    return typeof file === "number" ? new Response("", { status: file }) : new Response(file);
  };
  return asked;
}

const listener = () => {
  const got = [];
  return {
    got,
    records: (bytes) => got.push(bytes.byteLength),
    missing: (reason) => got.push(reason),
  };
};

const plain = (url, signal) => new Request(url, { signal });

const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("a playlist's records stand beside it, without its query, or where the pattern says", () => {
  const at = (pattern) =>
    new Sidecars(pattern, listener(), plain).url("https://cdn.example/a/v.m3u8?token=1#x");
  assert.equal(at(undefined), "https://cdn.example/a/v.m3u8.hsig");
  assert.equal(at("{playlist}?records"), "https://cdn.example/a/v.m3u8?records");
  assert.equal(at("/records/all.hsig"), "https://cdn.example/records/all.hsig");
});

test("the records of a film are fetched once", async () => {
  const told = listener();
  const asked = serve({ "https://cdn.example/v.m3u8.hsig": new Uint8Array(7) });
  const sidecars = new Sidecars(undefined, told, plain);
  for (let i = 0; i < 3; i++) {
    sidecars.load("https://cdn.example/v.m3u8", false);
    await soon(5);
  }
  assert.equal(asked.length, 1);
  assert.deepEqual(told.got, [7]);
});

test("records are asked for as the page sets its requests up", async () => {
  const asked = serve({ "https://cdn.example/v.m3u8.hsig?token=1": new Uint8Array(7) });
  const told = listener();
  const prepare = async (url, signal) =>
    new Request(`${url}?token=1`, { headers: { authorization: "Bearer 1" }, signal });
  const sidecars = new Sidecars(undefined, told, prepare);
  sidecars.load("https://cdn.example/v.m3u8", false);
  await soon(5);
  assert.deepEqual(told.got, [7]);
  assert.equal(asked.length, 1);
  assert.equal(serve.headers.get("authorization"), "Bearer 1");
});

test("those of a live stream are fetched with each refresh, and again when nothing is new yet", async () => {
  const told = listener();
  const files = { "https://cdn.example/v.m3u8.hsig": new Uint8Array(7) };
  serve(files);
  const sidecars = new Sidecars(undefined, told, plain);
  sidecars.load("https://cdn.example/v.m3u8", true);
  await soon(5);
  sidecars.load("https://cdn.example/v.m3u8", true);
  await soon(100);
  files["https://cdn.example/v.m3u8.hsig"] = new Uint8Array(9);
  await soon(500);
  assert.deepEqual(told.got, [7, 7, 9]);
});

test("records that cannot be had are asked for again, and stopped sidecars say nothing", async () => {
  const told = listener();
  const asked = serve({});
  const sidecars = new Sidecars(undefined, told, plain);
  sidecars.load("https://cdn.example/v.m3u8", false);
  await soon(1200);
  assert.equal(asked.length, 2);
  sidecars.stop();
  await soon(50);
  assert.deepEqual(told.got, []);
});

test("signatures are told from what looks like them, by WebCrypto and by the library", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  const message = new TextEncoder().encode("hlswarm");
  const signature = new Uint8Array(sign(null, message, privateKey));
  for (const check of [checkSignature, library.checkSignature]) {
    assert.equal(await check(key, message, signature), true);
    assert.equal(await check(key, message.slice(1), signature), false);
    assert.equal(
      await check(
        key,
        message,
        signature.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      ),
      false,
    );
    assert.equal(await check(new Uint8Array(32).fill(255), message, signature), false);
    assert.equal(await check(key, message, signature), true, "a key that is none says nothing of others");
  }
});
