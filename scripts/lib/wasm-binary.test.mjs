// The build's own changes to the module: tried on a module small enough to read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { arrangeWasm } from "./arrange-wasm.mjs";
import { shortenNames } from "./shorten-names.mjs";
import { trapPanics } from "./trap-panics.mjs";
import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";

const text = (value) => Buffer.concat([encodeNumber(value.length), Buffer.from(value)]);
const list = (...items) => Buffer.concat([encodeNumber(items.length), ...items]);
const numbers = (...values) => Buffer.concat(values.map(encodeNumber));
const custom = (name, ...content) => sectionOf(0, Buffer.concat([text(name), ...content]));
const [FUNCTION, DATA] = [0, 1];
const PANIC = "_ZN4core9panicking9panic_fmt17h0123456789abcdefE";

/** The data of the example: what only a panic shows, what is used, what a table slot in the data leads to. */
const [MESSAGE, USED, POINTER] = ["a message", "used text", "\x01\0\0\0"];
/** The place in the source that a function with use for it passes on: the file's address and length, line, column. */
const [FILE, LOCATION] = ["src.rs", "\x16\x04\0\0\x06\0\0\0\x05\0\0\0\x09\0\0\0"];
const AT = 1024;
const FILE_AT = MESSAGE.length + USED.length + POINTER.length;

/**
 * Imports `glue.add_1234`. Exports `answer` (calls it) and `fails`, which puts a message together with `format`,
 * calls a panic that would return, and then would call `answer`. `used` reads data that leads to `indirect` over the
 * table, and a location. `orphan` is what nobody names.
 */
function exampleModule() {
  const functions = {
    answer: [0x10, 0],
    [PANIC]: [0x01],
    // The address of the message, `format` over the table, the panic, then another call.
    fails: [0x41, 0x80, 0x08, 0x1a, 0x41, 2, 0x1a, 0x10, 2, 0x10, 1, 0x1a],
    used: [0x41, 0x89, 0x08, 0x1a, 0x41, 0x9c, 0x08, 0x1a],
    indirect: [0x41, 7, 0x1a],
    format: [0x41, 8, 0x1a],
    orphan: [0x41, 9, 0x1a],
  };
  const names = Object.keys(functions);
  const body = (code) => {
    const content = Buffer.of(0, ...code, 0x0b);
    return Buffer.concat([encodeNumber(content.length), content]);
  };
  const code = Object.values(functions).map(body);
  /** Where a function's instructions begin, from the start of the section's content. */
  const inCode = (name, offset) =>
    1 + code.slice(0, names.indexOf(name)).reduce((sum, part) => sum + part.length, 0) + 2 + offset;
  const data = Buffer.from(MESSAGE + USED + POINTER + FILE + LOCATION, "latin1");
  const DATA_HEAD = 1 + 5 + 1;
  const symbolOf = (name) => 1 + names.indexOf(name);
  const [messageSymbol, usedSymbol, fileSymbol, locationSymbol] = [1, 2, 3, 4].map((n) => n + names.length);
  return Buffer.concat([
    Buffer.from("\0asm\x01\0\0\0", "latin1"),
    sectionOf(1, list(Buffer.of(0x60, 0, 1, 0x7f), Buffer.of(0x60, 0, 0))),
    sectionOf(2, list(Buffer.concat([text("glue"), text("add_1234"), Buffer.of(0, 0)]))),
    sectionOf(3, list(...names.map((name) => Buffer.of(name === "answer" ? 0 : 1)))),
    sectionOf(4, list(Buffer.of(0x70, 0, 3))),
    sectionOf(5, list(Buffer.of(0, 1))),
    sectionOf(
      7,
      list(
        ...["answer", "fails", "used"].map((name) =>
          Buffer.concat([text(name), Buffer.of(0), encodeNumber(symbolOf(name))]),
        ),
        Buffer.concat([text("memory"), Buffer.of(2, 0)]),
      ),
    ),
    sectionOf(9, list(Buffer.of(0, 0x41, 1, 0x0b, 2, symbolOf("indirect"), symbolOf("format")))),
    sectionOf(10, list(...code)),
    sectionOf(11, list(Buffer.concat([Buffer.of(0, 0x41, 0x80, 0x08, 0x0b), text(data)]))),
    custom(
      "linking",
      Buffer.of(2, 8),
      text(
        list(
          numbers(FUNCTION, 0x10, 0),
          ...names.map((name, index) => Buffer.concat([numbers(FUNCTION, 0, index + 1), text(name)])),
          ...[
            ["message", 0, MESSAGE.length],
            ["used", MESSAGE.length, USED.length + POINTER.length],
            ["file", FILE_AT, FILE.length],
            ["location", FILE_AT + FILE.length, LOCATION.length],
          ].map(([name, offset, size]) =>
            Buffer.concat([numbers(DATA, 0), text(name), numbers(0, offset, size)]),
          ),
        ),
      ),
    ),
    custom(
      "reloc.CODE",
      encodeNumber(6),
      list(
        numbers(0, inCode("answer", 1), 0),
        numbers(4, inCode("fails", 1), messageSymbol, 0),
        numbers(1, inCode("fails", 5), symbolOf("format")),
        numbers(0, inCode("fails", 8), symbolOf(PANIC)),
        numbers(0, inCode("fails", 10), symbolOf("answer")),
        numbers(4, inCode("used", 1), usedSymbol, 0),
        numbers(4, inCode("used", 5), locationSymbol, 0),
      ),
    ),
    custom(
      "reloc.DATA",
      encodeNumber(7),
      list(
        numbers(2, DATA_HEAD + MESSAGE.length + USED.length, symbolOf("indirect")),
        numbers(5, DATA_HEAD + FILE_AT + FILE.length, fileSymbol, 0),
      ),
    ),
  ]);
}

const instantiate = async (wasm, imports) =>
  (await WebAssembly.instantiate(wasm, { glue: imports })).instance.exports;

const trap = Buffer.of(3, 0x00, 0x00, 0x0b);

/** The bodies of a module's functions, by the order of the example. */
function bodiesOf(wasm) {
  const bodies = [];
  mapSections(wasm, (id, content, whole) => {
    const reader = new Reader(content, 0);
    for (let left = id === 10 ? reader.number() : 0; left > 0; left--) {
      const start = reader.at;
      reader.bytes(reader.number());
      bodies.push(reader.buffer.subarray(start, reader.at));
    }
    return whole;
  });
  return bodies;
}

test("panics become traps, and nothing else does", async () => {
  const before = await instantiate(exampleModule(), { add_1234: () => 42 });
  assert.doesNotThrow(before.fails);
  const { wasm, panics } = trapPanics(exampleModule());
  assert.equal(panics, 1);
  let calls = 0;
  const after = await instantiate(wasm, { add_1234: () => ++calls });
  assert.throws(after.fails, WebAssembly.RuntimeError);
  assert.equal(calls, 0);
  assert.equal(after.answer(), 1);
  assert.doesNotThrow(after.used);
});

test("what only panics or nobody needs is removed, what data leads to is kept", async () => {
  const { wasm, functions, dataBytes } = trapPanics(exampleModule());
  const [answer, panic, , used, indirect, format, orphan] = bodiesOf(wasm);
  assert.deepEqual([panic, format, orphan], [trap, trap, trap]);
  for (const kept of [answer, used, indirect]) assert.notDeepEqual(kept, trap);
  assert.equal(functions, 2);
  const location = FILE.length + LOCATION.length;
  assert.equal(dataBytes, MESSAGE.length + location);
  const { memory } = await instantiate(wasm, { add_1234: () => 0 });
  const text = Buffer.from(memory.buffer, AT, FILE_AT + location).toString("latin1");
  assert.equal(text, "\0".repeat(MESSAGE.length) + USED + POINTER + "\0".repeat(location));
});

test("a module without the linker's notes is refused", () => {
  const { wasm } = trapPanics(exampleModule());
  assert.throws(() => trapPanics(wasm), /--emit-relocs/);
});

test("imports and exports get short names on both sides", async () => {
  const glue =
    'const imports = { add_1234: function() { return 7; }, other: 1 }; x = { "glue": imports }; wasm.answer(wasm.answers);';
  const short = shortenNames(exampleModule(), glue);
  assert.equal(
    short.glue,
    "const imports = { _1: function() { return 7; }, other: 1 }; x = { _0: imports }; wasm._2(wasm.answers);",
  );
  const { instance } = await WebAssembly.instantiate(short.wasm, { _0: { _1: () => 7 } });
  assert.equal(instance.exports._2(), 7);
  assert.equal(typeof instance.exports.fails, "function", "what the glue does not use keeps its name");
});

test("functions and locals in another order do the same", async () => {
  const [I32, I64, FUNC] = [0x7f, 0x7e, 0x60];
  const body = (...content) => Buffer.concat([encodeNumber(content.length + 1), Buffer.of(...content, 0x0b)]);
  const bodies = [
    // Two locals of either type, in turn; the last is used most: v = p + 1 (64 bits), x = wrap(v), x * x + 300.
    body(
      4,
      1,
      I64,
      1,
      I32,
      1,
      I64,
      1,
      I32,
      0x20,
      0,
      0x42,
      1,
      0x7c,
      0x22,
      3,
      0xa7,
      0x22,
      4,
      0x20,
      4,
      0x6c,
      0x41,
      0xac,
      2,
      0x6a,
    ),
    // Calls the one before and the one behind by the table, and the import.
    body(0, 0x20, 0, 0x10, 1, 0x41, 1, 0x11, 1, 0, 0x6a, 0x10, 0, 0x6a),
    body(0, 0x41, 40),
  ];
  const module = Buffer.concat([
    Buffer.from("\0asm\x01\0\0\0", "latin1"),
    sectionOf(1, list(Buffer.of(FUNC, 1, I64, 1, I32), Buffer.of(FUNC, 0, 1, I32))),
    sectionOf(2, list(Buffer.concat([text("glue"), text("two"), Buffer.of(0, 1)]))),
    sectionOf(3, list(Buffer.of(0), Buffer.of(0), Buffer.of(1))),
    sectionOf(4, list(Buffer.of(0x70, 0, 2))),
    sectionOf(
      7,
      list(Buffer.concat([text("all"), Buffer.of(0, 2)]), Buffer.concat([text("square"), Buffer.of(0, 1)])),
    ),
    sectionOf(9, list(Buffer.of(0, 0x41, 1, 0x0b, 1, 3))),
    sectionOf(10, list(...bodies)),
  ]);
  const arranged = arrangeWasm(module, ({ length }) => length);
  for (const wasm of [module, arranged]) {
    const { instance } = await WebAssembly.instantiate(wasm, { glue: { two: () => 2 } });
    assert.equal(instance.exports.square(6n), 349);
    assert.equal(instance.exports.all(6n), 349 + 40 + 2);
  }
  assert.deepEqual(
    [...bodiesOf(arranged)[0].subarray(1, 6)],
    [2, 1, I32, 1, I64],
    "unused locals are gone, one run for each type",
  );
});

test("functions that are alike become neighbours", async () => {
  const I32 = 0x7f;
  const body = (...content) =>
    Buffer.concat([encodeNumber(content.length + 2), Buffer.of(0, ...content, 0x0b)]);
  const sum = (number) => body(0x41, number, 0x41, 1, 0x6a, 0x41, 2, 0x6a, 0x41, 3, 0x6a);
  const product = (number) => body(0x41, number, 0x41, 4, 0x6c, 0x41, 5, 0x6c, 0x41, 6, 0x6c);
  const module = Buffer.concat([
    Buffer.from("\0asm\x01\0\0\0", "latin1"),
    sectionOf(1, list(Buffer.of(0x60, 0, 1, I32))),
    sectionOf(3, list(...Array(4).fill(Buffer.of(0)))),
    sectionOf(10, list(sum(10), product(11), sum(12), product(13))),
  ]);
  const arranged = arrangeWasm(module, ({ length }) => length);
  await WebAssembly.compile(arranged);
  const [ADD, MULTIPLY] = [0x6a, 0x6c];
  assert.deepEqual(
    bodiesOf(arranged).map((written) => written[6]),
    [ADD, ADD, MULTIPLY, MULTIPLY],
  );
  const tried = [];
  // As if the third were the smallest.
  const third = arrangeWasm(module, (wasm) => Math.abs(tried.push(wasm) - 3));
  assert.ok(tried.length > 3);
  assert.equal(third, tried[2]);
});

test("numbers are written and read back", () => {
  for (const number of [0, 1, 127, 128, 300, 16_384, 2 ** 31]) {
    assert.equal(new Reader(encodeNumber(number), 0).number(), number);
  }
});
