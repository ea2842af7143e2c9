// Walking over the instructions of a function, as far as the build needs it.

import { Reader } from "./wasm-binary.mjs";

const [CALL, UNREACHABLE] = [0x10, 0x00];

/** Instructions after which control may have come from, or gone, elsewhere: block, loop, if, else, end, branches. */
const TURNS = new Set([0x00, 0x02, 0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x11]);
/** Immediates by opcode, as numbers in LEB128. */
const NUMBERS = new Map([
  ...[0x02, 0x03, 0x04, 0x0c, 0x0d, 0x10, 0x41, 0x42, 0xd0, 0xd2].map((opcode) => [opcode, 1]),
  ...range(0x20, 0x26).map((opcode) => [opcode, 1]),
  ...range(0x28, 0x3e).map((opcode) => [opcode, 2]),
  [0x11, 2],
  [0x3f, 1],
  [0x40, 1],
]);
/** The same for those behind the prefix 0xfc: conversions have none, then memory and table instructions. */
const BULK_NUMBERS = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/**
 * The stretches of a function's body that are run only when one of some functions is called at their end.
 *
 * @param {import("./wasm-binary.mjs").Reader} reader at the body's size
 * @param {(index: number) => boolean} ends whether a call of this function ends a stretch
 * @returns {{ start: number, end: number }[]} from the first instruction up to and with the call, in order
 */
export function stretchesBefore(reader, ends) {
  const stop = reader.number() + reader.at;
  for (let left = reader.number(); left > 0; left--) {
    reader.number();
    reader.byte();
  }
  const stretches = [];
  let start = reader.at;
  while (reader.at < stop) {
    const opcode = reader.byte();
    if (opcode === CALL) {
      const called = reader.number();
      if (ends(called)) stretches.push({ start, end: reader.at });
      start = reader.at;
      continue;
    }
    skipImmediates(reader, opcode);
    if (TURNS.has(opcode)) start = reader.at;
  }
  return stretches;
}

/** Puts `unreachable` in front of each stretch; what follows then counts for nothing. Adapts the body's size. */
export function cutStretches(body, bodyAt, stretches, encodeNumber) {
  if (stretches.length === 0) return body;
  const parts = [];
  let from = sizeOfNumber(body);
  for (const { start } of stretches) {
    parts.push(body.subarray(from, start - bodyAt), Buffer.of(UNREACHABLE));
    from = start - bodyAt;
  }
  parts.push(body.subarray(from));
  const content = Buffer.concat(parts);
  return Buffer.concat([encodeNumber(content.length), content]);
}

function sizeOfNumber(bytes) {
  return bytes.findIndex((byte) => byte < 128) + 1;
}

function skipImmediates(reader, opcode) {
  if (opcode === 0x0e) {
    for (let left = reader.number() + 1; left > 0; left--) reader.number();
  } else if (opcode === 0x1c) reader.bytes(reader.number());
  else if (opcode === 0x43) reader.bytes(4);
  else if (opcode === 0x44) reader.bytes(8);
  else if (opcode === 0xfc) {
    const count = BULK_NUMBERS[reader.number()];
    if (count === undefined) throw new Error("an instruction that is not known");
    for (let left = count; left > 0; left--) reader.number();
  } else if (opcode > 0xc4 && !NUMBERS.has(opcode)) {
    throw new Error(`an instruction that is not known: ${opcode}`);
  } else {
    for (let left = NUMBERS.get(opcode) ?? 0; left > 0; left--) skipNumber(reader);
  }
}

/** Constants of 64 bits are too long for `Reader.number`. */
function skipNumber(reader) {
  while (reader.byte() > 127);
}

const REF_FUNC = 0xd2;
const LOCALS = new Set([0x20, 0x21, 0x22]);

/** Reads the head of a function's body, behind its size: the type of each local. */
export function readLocals(reader) {
  const types = [];
  for (let left = reader.number(); left > 0; left--) {
    const count = reader.number();
    const type = reader.byte();
    for (let i = 0; i < count; i++) types.push(type);
  }
  return types;
}

/**
 * The numbers of locals and functions in a function's instructions.
 *
 * @param {Buffer} code the instructions, without the locals' head
 * @returns {{ kind: "local" | "function", value: number, start: number, end: number }[]} in order
 */
export function numbersIn(code) {
  const reader = new Reader(code, 0);
  const found = [];
  while (!reader.atEnd) {
    const opcode = reader.byte();
    const kind = LOCALS.has(opcode) ? "local" : opcode === CALL || opcode === REF_FUNC ? "function" : null;
    if (kind) {
      const start = reader.at;
      const value = reader.number();
      found.push({ kind, value, start, end: reader.at });
    } else {
      skipImmediates(reader, opcode);
    }
  }
  return found;
}
