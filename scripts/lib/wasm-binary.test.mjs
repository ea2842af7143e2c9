// The build's own changes to the module: tried on a module small enough to read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { shortenImports } from "./shorten-imports.mjs";
import { trapPanics, wipePlaces } from "./trap-panics.mjs";
import { encodeNumber, Reader, sectionOf } from "./wasm-binary.mjs";

const text = (value) => Buffer.concat([encodeNumber(value.length), Buffer.from(value)]);
const list = (...items) => Buffer.concat([encodeNumber(items.length), ...items]);
const path = "/home/someone/src/engine/mod.rs";
const pathAt = 1024 + 16;

/** Imports `glue.add_1234`; exports `answer` (42) and `fails`, which calls a panic that would return. */
function exampleModule() {
  const place = Buffer.alloc(16);
  place.writeUInt32LE(pathAt, 0);
  place.writeUInt32LE(path.length, 4);
  place.writeUInt32LE(77, 8);
  const data = Buffer.concat([place, Buffer.from(`${path} and more`)]);
  const names = list(
    ...["add", "answer", "core::panicking::panic_fmt", "fails"].map((name, index) =>
      Buffer.concat([encodeNumber(index), text(name)]),
    ),
  );
  return Buffer.concat([
    Buffer.from("\0asm\x01\0\0\0", "latin1"),
    sectionOf(1, list(Buffer.of(0x60, 0, 1, 0x7f), Buffer.of(0x60, 0, 0))),
    sectionOf(2, list(Buffer.concat([text("glue"), text("add_1234"), Buffer.of(0, 0)]))),
    sectionOf(3, list(Buffer.of(0), Buffer.of(1), Buffer.of(1))),
    sectionOf(5, list(Buffer.of(0, 1))),
    sectionOf(
      7,
      list(
        Buffer.concat([text("answer"), Buffer.of(0, 1)]),
        Buffer.concat([text("fails"), Buffer.of(0, 3)]),
        Buffer.concat([text("memory"), Buffer.of(2, 0)]),
      ),
    ),
    sectionOf(
      10,
      list(Buffer.of(4, 0, 0x10, 0, 0x0b), Buffer.of(3, 0, 0x01, 0x0b), Buffer.of(4, 0, 0x10, 2, 0x0b)),
    ),
    sectionOf(11, list(Buffer.concat([Buffer.of(0, 0x41, 0x80, 0x08, 0x0b), text(data)]))),
    sectionOf(0, Buffer.concat([text("name"), Buffer.of(1), encodeNumber(names.length), names])),
  ]);
}

const instantiate = async (wasm, imports) =>
  (await WebAssembly.instantiate(wasm, { glue: imports })).instance.exports;

test("panics become traps, and nothing else does", async () => {
  const before = await instantiate(exampleModule(), { add_1234: () => 42 });
  assert.doesNotThrow(before.fails);
  const { wasm, count } = trapPanics(exampleModule());
  assert.equal(count, 1);
  const after = await instantiate(wasm, { add_1234: () => 42 });
  assert.throws(after.fails, WebAssembly.RuntimeError);
  assert.equal(after.answer(), 42);
});

test("places in the source are wiped, other text stays", async () => {
  const read = ({ memory }, from, length) => Buffer.from(memory.buffer, from, length).toString("latin1");
  const wiped = await instantiate(wipePlaces(exampleModule()), { add_1234: () => 0 });
  assert.equal(read(wiped, 1024, 16 + path.length), "\0".repeat(16 + path.length));
  assert.equal(read(wiped, pathAt + path.length, 9), " and more");
});

test("imports get short names on both sides", async () => {
  const glue = "const imports = { add_1234: function() { return 7; }, other: 1 };";
  const short = shortenImports(exampleModule(), glue);
  assert.equal(short.glue, "const imports = { i0: function() { return 7; }, other: 1 };");
  const { answer } = await instantiate(short.wasm, { i0: () => 7 });
  assert.equal(answer(), 7);
});

test("numbers are written and read back", () => {
  for (const number of [0, 1, 127, 128, 300, 16_384, 2 ** 31]) {
    assert.equal(new Reader(encodeNumber(number), 0).number(), number);
  }
});
