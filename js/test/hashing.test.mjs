import assert from "node:assert/strict";
import { resolveObjectURL } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { afterEach, test } from "node:test";
import { runInNewContext } from "node:vm";
import { load, settle } from "./modules.mjs";

const { makeSha256, Hasher } = await load("hashing.ts");
const { Host } = await load("host.ts");
const { crypto } = globalThis;

afterEach(() => {
  delete globalThis.Worker;
  Object.defineProperty(globalThis, "crypto", { configurable: true, value: crypto });
});

const hex = (digest) => Buffer.from(digest).toString("hex");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** A worker that has nothing but its own text, as in a browser. `broken` says after how many messages it fails. */
function workers({ broken = Infinity } = {}) {
  const all = [];
  globalThis.Worker = class {
    constructor(url) {
      Object.assign(this, { url, answered: 0, terminated: false });
      all.push(this);
      this.script = resolveObjectURL(url).text();
    }
    async postMessage(data) {
      const script = await this.script;
      if (this.terminated) return;
      if (this.answered === broken) return this.onerror({ preventDefault() {} });
      this.scope ??= { postMessage: (digest) => this.onmessage({ data: digest }) };
      if (this.answered++ === 0) runInNewContext(script, this.scope);
      this.scope.onmessage({ data: data.slice() });
    }
    terminate() {
      this.terminated = true;
    }
  };
  return all;
}

test("it is SHA-256, for every length of the last block and wherever the bytes lie", () => {
  const hash = makeSha256();
  for (const length of [...Array(200).keys(), 65_535, 65_536, 65_537]) {
    const bytes = new Uint8Array(randomBytes(length + 3)).subarray(3);
    assert.equal(hex(hash(bytes)), sha256(bytes), `${length} bytes`);
  }
});

test("the worker's digests come in the order of what was asked", async () => {
  const all = workers();
  const hasher = new Hasher();
  const blocks = Array.from({ length: 5 }, (_, n) => new Uint8Array(randomBytes(1000 * n)));
  const digests = await Promise.all(blocks.map((block) => hasher.digest(block)));
  assert.deepEqual(digests.map(hex), blocks.map(sha256));
  assert.equal(all[0].answered, 5);
});

test("what a failing worker leaves is hashed without it", async () => {
  for (const broken of [0, 2]) {
    const all = workers({ broken });
    const hasher = new Hasher();
    const blocks = Array.from({ length: 5 }, () => new Uint8Array(randomBytes(1000)));
    const digests = await Promise.all(blocks.map((block) => hasher.digest(block)));
    assert.deepEqual(digests.map(hex), blocks.map(sha256));
    assert.equal(all[0].answered, broken);
    assert.ok(all[0].terminated);
    assert.equal(hex(await hasher.digest(blocks[0])), sha256(blocks[0]), "later, too");
  }
});

test("where there is no WebCrypto the page hashes in a worker as soon as it can, and ends it", async () => {
  Object.defineProperty(globalThis, "crypto", { configurable: true, value: {} });
  const all = workers();
  const host = new Host({ hooks: {} });
  const bytes = new Uint8Array(randomBytes(65_536));
  assert.equal(host.digest(bytes), undefined, "it is being loaded: the engine does it");
  await settle();
  assert.equal(hex(await host.digest(bytes)), sha256(bytes));
  assert.equal(all.length, 1);
  assert.ok(!all[0].terminated);
  host.close();
  assert.ok(all[0].terminated);
  assert.equal(resolveObjectURL(all[0].url), undefined);
});

test("where no worker can be made, hashing is left to the engine", async () => {
  Object.defineProperty(globalThis, "crypto", { configurable: true, value: {} });
  globalThis.Worker = class {
    constructor() {
      throw new Error("refused by the page's content security policy");
    }
  };
  const host = new Host({ hooks: {} });
  for (let n = 0; n < 3; n++) {
    assert.equal(host.digest(new Uint8Array(1)), undefined);
    await settle();
  }
});
