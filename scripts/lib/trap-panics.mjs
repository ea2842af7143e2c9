// A panic ends in a trap, and its message is never seen: the page is told of the trap, and hls.js plays on alone. So
// the code that puts messages together can go. Each function that only panics becomes a bare trap; wasm-opt then
// drops what led up to it. The places in the source that messages would name go as well, and with them the paths of
// the machine that built it.
import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";

const [CUSTOM, TYPES, IMPORTS, FUNCTIONS, CODE, DATA] = [0, 1, 2, 3, 10, 11];
const FUNCTION_NAMES = 1;

/** Functions of the standard library that never return. */
const PANICS = [
  /::panicking::(?!panic_count)/,
  /\bpanic_(already|on_ord_violation|poisoned|with_hook)/,
  /::(unwrap|expect|assert)_failed/,
  /::(slice_error|slice_index|len_mismatch)_fail/,
  /::(handle_error|handle_alloc_error|capacity_overflow)$/,
  /::rust_(begin_unwind|panic)$/,
];
const LIBRARIES = /^<?_*(core|alloc|std|rustc|hashbrown)\b/;

/** No locals, `unreachable`, `end`. */
const TRAP = Buffer.of(3, 0x00, 0x00, 0x0b);

/**
 * Replaces the functions that only panic.
 *
 * @param {Uint8Array} wasm a module with its name section
 * @returns {{ wasm: Buffer, count: number }} the module, and how many functions were replaced
 */
export function trapPanics(wasm) {
  const { names, imported, types, returns } = survey(wasm);
  let count = 0;
  const isPanic = (index) => {
    const name = names.get(index + imported) ?? "";
    return !returns[types[index]] && LIBRARIES.test(name) && PANICS.some((pattern) => pattern.test(name));
  };
  const trapped = mapSections(wasm, (id, content, whole) => {
    if (id !== CODE) return whole;
    const reader = new Reader(content, 0);
    const functions = reader.number();
    const parts = [encodeNumber(functions)];
    for (let index = 0; index < functions; index++) {
      const start = reader.at;
      reader.bytes(reader.number());
      if (isPanic(index)) count++;
      parts.push(isPanic(index) ? TRAP : reader.buffer.subarray(start, reader.at));
    }
    return sectionOf(id, Buffer.concat(parts));
  });
  return { wasm: trapped, count };
}

/** Paths of source files, as the compiler writes them into messages. */
const SOURCE_PATH = /(?:\/[\w.+-]+\/|src\/)(?:[\w.+-]+\/)*[\w-]+\.rs/g;
/** A place: address and length of the path, line, column. */
const PLACE_BYTES = 16;

/**
 * Wipes the places in the source that panics would have named. Nothing but messages uses them.
 *
 * @param {Uint8Array} wasm a module after {@link trapPanics}
 * @returns {Buffer} the module, of the same size, but with zeros there
 */
export function wipePlaces(wasm) {
  return mapSections(wasm, (id, content, whole) => {
    if (id !== DATA) return whole;
    const wiped = Buffer.from(content);
    const reader = new Reader(wiped, 0);
    for (let left = reader.number(); left > 0; left--) {
      const address = reader.activeDataAddress();
      const bytes = reader.bytes(reader.number());
      if (address !== null) wipeIn(bytes, address);
    }
    return sectionOf(id, wiped);
  });
}

function wipeIn(bytes, address) {
  const paths = new Map();
  for (const { 0: path, index } of bytes.toString("latin1").matchAll(SOURCE_PATH)) {
    paths.set(address + index, path.length);
  }
  for (let at = 0; at + PLACE_BYTES <= bytes.length; at += 4) {
    if (paths.get(bytes.readUInt32LE(at)) === bytes.readUInt32LE(at + 4)) bytes.fill(0, at, at + PLACE_BYTES);
  }
  for (const [start, length] of paths) bytes.fill(0, start - address, start - address + length);
}

/** Function names, how many are imported, the type of each other, and which types have results. */
function survey(wasm) {
  const found = { names: new Map(), imported: 0, types: [], returns: [] };
  mapSections(wasm, (id, content, whole) => {
    const reader = new Reader(content, 0);
    if (id === CUSTOM && reader.bytes(reader.number()).toString() === "name") readNames(reader, found.names);
    if (id === TYPES) {
      for (let left = reader.number(); left > 0; left--) {
        if (reader.byte() !== 0x60) throw new Error("a type that is no function's");
        reader.bytes(reader.number());
        const results = reader.number();
        reader.bytes(results);
        found.returns.push(results > 0);
      }
    }
    if (id === IMPORTS) {
      for (let left = reader.number(); left > 0; left--) {
        reader.bytes(reader.number());
        reader.bytes(reader.number());
        if (reader.buffer[reader.at] === 0) found.imported++;
        reader.skipImportDescription();
      }
    }
    if (id === FUNCTIONS) {
      for (let left = reader.number(); left > 0; left--) found.types.push(reader.number());
    }
    return whole;
  });
  return found;
}

function readNames(reader, names) {
  while (!reader.atEnd) {
    const kind = reader.byte();
    const end = reader.number() + reader.at;
    if (kind === FUNCTION_NAMES) {
      for (let left = reader.number(); left > 0; left--) {
        const index = reader.number();
        names.set(index, reader.bytes(reader.number()).toString());
      }
    }
    reader.at = end;
  }
}
