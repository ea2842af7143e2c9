// Compressors find what is alike when it lies close together, and numbers that are small and few. This changes nothing of
// what a module does: functions are put in an order in which neighbours are alike, and locals are numbered by how
// often they are used, those of one type in a row.

import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";
import { numbersIn, readLocals } from "./wasm-code.mjs";

const [CUSTOM, TYPES, IMPORTS, FUNCTIONS, EXPORTS, START, ELEMENTS, CODE] = [0, 1, 2, 3, 7, 8, 9, 10];
/** What stands in front of a function's number in an element segment of the kind that is known here. */
const PLAIN_SEGMENT = 0;

/** Orders that are tried: how well one compresses differs by some hundred bytes, and nothing tells beforehand. */
const TRIES = 16;

/**
 * Puts functions and locals into an order that compresses well.
 *
 * @param {Uint8Array} wasm a module without custom sections that name functions by number
 * @param {(wasm: Buffer) => number} sizeOf how large a module is when compressed
 * @returns {Buffer} the module, which does the same
 */
export function arrangeWasm(wasm, sizeOf) {
  const found = survey(wasm);
  const shortened = found.bodies.map((body, i) => arrangeLocals(body, found.parameters[found.types[i]]));
  const tries = chainsAlike(shortened, TRIES).map((order) => {
    const arranged = inOrder(wasm, { ...found, shortened, order });
    return { arranged, size: sizeOf(arranged) };
  });
  return tries.reduce((best, next) => (next.size < best.size ? next : best)).arranged;
}

function inOrder(wasm, { imported, types, shortened, order }) {
  const moved = new Map(order.map((from, to) => [imported + from, imported + to]));
  const numberOf = (index) => moved.get(index) ?? index;
  return mapSections(wasm, (id, content, whole) => {
    if (id === FUNCTIONS) return sectionOf(id, list(order.map((from) => encodeNumber(types[from]))));
    if (id === CODE) {
      const renumbered = order.map((from) => renumber(shortened[from], "function", numberOf));
      return sectionOf(id, list(renumbered.map((body) => Buffer.concat([encodeNumber(body.length), body]))));
    }
    if (id === EXPORTS) return sectionOf(id, moveExports(content, numberOf));
    if (id === ELEMENTS) return sectionOf(id, moveElements(content, numberOf));
    if (id === START) return sectionOf(id, encodeNumber(numberOf(new Reader(content, 0).number())));
    return whole;
  });
}

/** Bytes that are compared at once: an instruction or two. */
const PIECE_BYTES = 4;
/** Pieces that more functions have are in every neighbourhood anyhow. */
const MAX_SHARERS = 400;

/** Counted beside a function's own pieces, so that a short one does not come before a long one that fits nearly as well. */
const SHORT_PIECES = 20;

/**
 * Orders in which each function is followed by the one, of those that are left, of which it has most. They begin with one of the
 * longest each.
 */
function chainsAlike(bodies, count) {
  const byCode = bodies.map((_, i) => i).sort((a, b) => Buffer.compare(bodies[a], bodies[b]));
  const byLength = [...byCode].sort((a, b) => bodies[b].length - bodies[a].length);
  const pieces = bodies.map(piecesOf);
  const sharers = new Map();
  for (const i of byCode) {
    for (const piece of pieces[i]) {
      const known = sharers.get(piece);
      if (known) known.push(i);
      else sharers.set(piece, [i]);
    }
  }
  return byLength.slice(0, count).map(chainFrom);

  function chainFrom(first) {
    const order = [];
    const left = new Set(byCode);
    for (let current = first; left.size > 0; current = likest(current, left) ?? left.values().next().value) {
      order.push(current);
      left.delete(current);
    }
    return order;
  }

  function likest(to, left) {
    const shared = new Map();
    for (const piece of pieces[to]) {
      const others = sharers.get(piece);
      if (others.length > MAX_SHARERS) continue;
      for (const other of others) if (left.has(other)) shared.set(other, (shared.get(other) ?? 0) + 1);
    }
    let best;
    let most = 0;
    for (const [other, count] of shared) {
      // How much of the next one has just been seen.
      const likeness = count / (SHORT_PIECES + pieces[other].size);
      if (likeness > most) [best, most] = [other, likeness];
    }
    return best;
  }
}

function piecesOf(body) {
  const pieces = new Set();
  for (let at = 0; at + PIECE_BYTES <= body.length; at++) pieces.add(body.readUInt32LE(at));
  return pieces;
}

function survey(wasm) {
  const found = { imported: 0, parameters: [], types: [], bodies: [] };
  mapSections(wasm, (id, content, whole) => {
    const reader = new Reader(content, 0);
    const each = (read) => {
      for (let left = reader.number(); left > 0; left--) read();
    };
    if (id === CUSTOM && reader.bytes(reader.number()).toString() === "name") {
      throw new Error("the section of names would be wrong afterwards: strip it first");
    }
    if (id === TYPES) {
      each(() => {
        if (reader.byte() !== 0x60) throw new Error("a type that is no function's");
        const count = reader.number();
        reader.bytes(count);
        reader.bytes(reader.number());
        found.parameters.push(count);
      });
    }
    if (id === IMPORTS) {
      each(() => {
        reader.bytes(reader.number());
        reader.bytes(reader.number());
        if (reader.buffer[reader.at] === 0) found.imported++;
        reader.skipImportDescription();
      });
    }
    if (id === FUNCTIONS) each(() => found.types.push(reader.number()));
    if (id === CODE) each(() => found.bodies.push(reader.bytes(reader.number())));
    return whole;
  });
  return found;
}

/** Numbers the locals of a function anew; its parameters keep their numbers. */
function arrangeLocals(body, parameters) {
  const reader = new Reader(body, 0);
  const types = readLocals(reader);
  const code = body.subarray(reader.at);
  const uses = types.map(() => 0);
  for (const { kind, value } of numbersIn(code)) {
    if (kind === "local" && value >= parameters) uses[value - parameters]++;
  }
  const used = types.map((_, i) => i).filter((i) => uses[i] > 0);
  used.sort((a, b) => types[b] - types[a] || uses[b] - uses[a] || a - b);
  const numbers = new Map(used.map((from, to) => [from + parameters, to + parameters]));
  const runs = [];
  for (const local of used) {
    if (runs.at(-1)?.type === types[local]) runs.at(-1).count++;
    else runs.push({ type: types[local], count: 1 });
  }
  return Buffer.concat([
    list(runs.map(({ type, count }) => Buffer.concat([encodeNumber(count), Buffer.of(type)]))),
    renumberCode(code, "local", (index) => numbers.get(index) ?? index),
  ]);
}

/** Changes the numbers of one kind in a function's body. */
function renumber(body, kind, change) {
  const reader = new Reader(body, 0);
  readLocals(reader);
  return Buffer.concat([body.subarray(0, reader.at), renumberCode(body.subarray(reader.at), kind, change)]);
}

function renumberCode(code, kind, change) {
  const parts = [];
  let from = 0;
  for (const number of numbersIn(code)) {
    if (number.kind !== kind) continue;
    parts.push(code.subarray(from, number.start), encodeNumber(change(number.value)));
    from = number.end;
  }
  return Buffer.concat([...parts, code.subarray(from)]);
}

function moveExports(section, numberOf) {
  const reader = new Reader(section, 0);
  const parts = [];
  for (let left = reader.number(); left > 0; left--) {
    const name = reader.bytes(reader.number());
    const kind = reader.byte();
    const index = reader.number();
    const number = encodeNumber(kind === 0 ? numberOf(index) : index);
    parts.push(Buffer.concat([encodeNumber(name.length), name, Buffer.of(kind), number]));
  }
  return list(parts);
}

function moveElements(section, numberOf) {
  const reader = new Reader(section, 0);
  const parts = [];
  for (let left = reader.number(); left > 0; left--) {
    const start = reader.at;
    if (reader.number() !== PLAIN_SEGMENT)
      throw new Error("an element segment of another kind than is known");
    if (reader.byte() !== 0x41) throw new Error("an element segment whose place is computed");
    reader.number();
    if (reader.byte() !== 0x0b) throw new Error("an element segment whose place is computed");
    const head = section.subarray(start, reader.at);
    const functions = [];
    for (let count = reader.number(); count > 0; count--)
      functions.push(encodeNumber(numberOf(reader.number())));
    parts.push(Buffer.concat([head, list(functions)]));
  }
  return list(parts);
}

function list(items) {
  return Buffer.concat([encodeNumber(items.length), ...items]);
}
