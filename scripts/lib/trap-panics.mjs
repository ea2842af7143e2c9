// A panic ends in a trap, and its message is never seen: the page is told of the trap, and hls.js plays on alone. So
// the code that puts messages together can go. Each function that only panics becomes a bare trap, and what is then
// reached from nowhere goes as well: functions become traps, which wasm-opt removes, and data becomes zeros.
//
// That is a second pass of what the linker does, after the panics have gone. It needs what the linker knows: which
// function or table slot or piece of data each place in the code and in the data names. `--emit-relocs` makes the
// linker write it down. Without that, wasm-opt would have to keep whatever stands in the table of functions.
import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";
import { cutStretches, stretchesBefore } from "./wasm-code.mjs";

const [CUSTOM, TYPES, IMPORTS, FUNCTIONS, EXPORTS, CODE, DATA] = [0, 1, 2, 3, 7, 10, 11];

/**
 * Functions of the standard library that never return, by their names as the linker has them, and that of wasm-bindgen which
 * throws: where an object is used while it is in use, or a closure after its end.
 */
const PANICS = [
  /\d+panicking(?!\d+panic_count)/,
  /\d+panic_(already|on_ord_violation|poisoned|with_hook)/,
  /\d(unwrap|expect|assert)_failed/,
  /\d(slice_error|slice_index|len_mismatch)_fail/,
  /(12handle_error|18handle_alloc_error|17capacity_overflow)(17h|$|\.)/,
  /\drust_(begin_unwind|panic)/,
  /12wasm_bindgen9throw_str/,
];
const LIBRARIES =
  /^_ZN(\d+_\$LT\$)?(4core|5alloc|3std|9hashbrown|12wasm_bindgen)|^_R.*_(4core|5alloc|3std|7___rustc|9hashbrown)/;

/** What wasm-bindgen throws about an object that is gone or in use. */
const THROWN =
  /^(null pointer passed to rust|recursive use of an object detected which would lead to unsafe aliasing in rust)$/;

/** No locals, `unreachable`, `end`. */
const TRAP = Buffer.of(3, 0x00, 0x00, 0x0b);

/**
 * Replaces the functions that only panic, and removes what only they needed.
 *
 * @param {Uint8Array} wasm a module linked with `--emit-relocs`
 * @returns {{ wasm: Buffer, panics: number, functions: number, dataBytes: number }} the module without the linker's
 *   notes; how many functions only panicked, how many more were removed, and how many bytes of data
 */
export function trapPanics(wasm) {
  const module = survey(wasm);
  const panics = new Set();
  for (const { kind, name, index } of module.symbols) {
    const body = kind === FUNCTION && module.bodies[index - module.imported];
    if (body && !body.returns && isPanic(name)) panics.add(index);
  }
  for (const body of module.bodies) {
    body.dead = stretchesBefore(new Reader(module.code, body.start), (index) => panics.has(index));
  }
  const live = reach(module, panics);
  let functions = 0;
  let dataBytes = 0;
  const stripped = mapSections(wasm, (id, content, whole) => {
    if (id === CUSTOM) return /^(reloc\.|linking$)/.test(nameOf(content)) ? Buffer.alloc(0) : whole;
    if (id === CODE) {
      const parts = module.bodies.map(({ start, end, dead }, i) => {
        if (live.functions.has(i + module.imported)) {
          return cutStretches(content.subarray(start, end), start, dead, encodeNumber);
        }
        if (!panics.has(i + module.imported)) functions++;
        return TRAP;
      });
      return sectionOf(id, Buffer.concat([encodeNumber(parts.length), ...parts]));
    }
    if (id === DATA) {
      const wiped = Buffer.from(content);
      for (const [start, end] of deadRanges(module, live.data)) {
        wiped.fill(0, start, end);
        dataBytes += end - start;
      }
      return sectionOf(id, wiped);
    }
    return whole;
  });
  return { wasm: stripped, panics: panics.size, functions, dataBytes };
}

function isPanic(name) {
  return LIBRARIES.test(name) && PANICS.some((pattern) => pattern.test(name));
}

/** What can be reached from the exports: indexes of functions, symbols of data. */
function reach(module, panics) {
  const live = { functions: new Set(), data: new Set() };
  const queue = [...module.roots];
  const follow = (relocations) => {
    for (const { symbol } of relocations) queue.push(module.symbols[symbol]);
  };
  for (let next = queue.pop(); next; next = queue.pop()) {
    if (next.kind === FUNCTION && !live.functions.has(next.index) && !panics.has(next.index)) {
      live.functions.add(next.index);
      const body = module.bodies[next.index - module.imported];
      if (body) {
        const named = within(module.relocations.CODE, body.start, body.end);
        follow(named.filter(({ at }) => !body.dead.some(({ start, end }) => start <= at && at < end)));
      }
    }
    if (next.kind === DATA_SYMBOL && next.end > next.start && !live.data.has(next)) {
      const named = within(module.relocations.DATA, next.start, next.end);
      if (isLocation(module, next, named) || isThrown(module, next)) continue;
      live.data.add(next);
      follow(named);
    }
  }
  return live;
}

/**
 * Whether data is a `core::panic::Location`, the place in a source file that a panic tells: a file's name (address and
 * length), line and column. It is passed on to functions that may panic, and read by nothing that is left.
 */
function isLocation({ symbols, data }, { start, end }, named) {
  if (end - start !== 16 || named.length !== 1 || named[0].at !== start) return false;
  const file = symbols[named[0].symbol];
  const length = data.readUInt32LE(start + 4);
  return (
    file.kind === DATA_SYMBOL && data.toString("latin1", file.start, file.start + length).endsWith(".rs")
  );
}

/** Whether data is what wasm-bindgen would throw: the text is passed on to the function that throws, which is a trap now. */
function isThrown({ data }, { start, end }) {
  return THROWN.test(data.toString("latin1", start, end));
}

/** The relocations of a stretch; they are in order. */
function within(relocations, start, end) {
  let low = 0;
  for (let high = relocations.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (relocations[middle].at < start) low = middle + 1;
    else high = middle;
  }
  const found = [];
  for (let i = low; i < relocations.length && relocations[i].at < end; i++) found.push(relocations[i]);
  return found;
}

/** The stretches of the data section that only dead symbols cover. */
function deadRanges(module, live) {
  const kept = [...live].sort((a, b) => a.start - b.start);
  const ranges = [];
  for (const symbol of module.symbols) {
    if (symbol.kind !== DATA_SYMBOL || live.has(symbol)) continue;
    let { start } = symbol;
    for (const { start: from, end: to } of kept) {
      if (to <= start) continue;
      if (from >= symbol.end) break;
      if (from > start) ranges.push([start, from]);
      start = to;
    }
    if (start < symbol.end) ranges.push([start, symbol.end]);
  }
  return ranges;
}

// The kinds of symbols in the linker's table.
const [FUNCTION, DATA_SYMBOL, GLOBAL, SECTION, TAG, TABLE] = [0, 1, 2, 3, 4, 5];
const [UNDEFINED, EXPLICIT_NAME] = [0x10, 0x40];
const SYMBOL_TABLE = 8;
/** Relocations with an addend: those of memory addresses and of offsets. */
const WITH_ADDEND = new Set([3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23, 25]);

/** What the module consists of. Offsets count from the start of a section's content. */
function survey(wasm) {
  const found = { imported: 0, bodies: [], symbols: null, roots: [], relocations: { CODE: [], DATA: [] } };
  const returns = [];
  const types = [];
  const segments = [];
  const exported = [];
  let linking = null;
  mapSections(wasm, (id, content, whole) => {
    const reader = new Reader(content, 0);
    if (id === TYPES) readTypes(reader, returns);
    if (id === IMPORTS) found.imported = countImportedFunctions(reader);
    if (id === FUNCTIONS) repeat(reader, () => types.push(reader.number()));
    if (id === EXPORTS) {
      repeat(reader, () => {
        reader.bytes(reader.number());
        const kind = reader.byte();
        const index = reader.number();
        if (kind === 0) exported.push({ kind: FUNCTION, index });
      });
    }
    if (id === CODE) {
      found.code = content;
      repeat(reader, () => {
        const start = reader.at;
        reader.bytes(reader.number());
        found.bodies.push({ start, end: reader.at, returns: returns[types[found.bodies.length]] });
      });
    }
    if (id === DATA) {
      found.data = content;
      repeat(reader, () => {
        reader.activeDataAddress();
        const size = reader.number();
        segments.push(reader.at);
        reader.bytes(size);
      });
    }
    if (id === CUSTOM) {
      const name = nameOf(content);
      reader.bytes(reader.number());
      if (name === "linking") linking = reader;
      if (name === "reloc.CODE" || name === "reloc.DATA") {
        found.relocations[name.slice(6)] = readRelocations(reader);
      }
    }
    return whole;
  });
  if (!linking) throw new Error("the module was not linked with --emit-relocs");
  found.symbols = readSymbols(linking, segments);
  found.roots = exported;
  return found;
}

function repeat(reader, read) {
  for (let left = reader.number(); left > 0; left--) read();
}

function nameOf(content) {
  const reader = new Reader(content, 0);
  return reader.bytes(reader.number()).toString();
}

function readTypes(reader, returns) {
  repeat(reader, () => {
    if (reader.byte() !== 0x60) throw new Error("a type that is no function's");
    reader.bytes(reader.number());
    const results = reader.number();
    reader.bytes(results);
    returns.push(results > 0);
  });
}

function countImportedFunctions(reader) {
  let count = 0;
  repeat(reader, () => {
    reader.bytes(reader.number());
    reader.bytes(reader.number());
    if (reader.buffer[reader.at] === 0) count++;
    reader.skipImportDescription();
  });
  return count;
}

function readRelocations(reader) {
  reader.number(); // Which section they are of: the name says it.
  const found = [];
  repeat(reader, () => {
    const type = reader.number();
    const at = reader.number();
    const symbol = reader.number();
    if (WITH_ADDEND.has(type)) reader.number();
    // Types and sections are named by their own numbers, not by symbols.
    if (type !== 6 && type !== 9) found.push({ at, symbol });
  });
  return found.sort((a, b) => a.at - b.at);
}

function readSymbols(reader, segments) {
  const version = reader.number();
  if (version !== 2) throw new Error(`the linker's notes are of version ${version}`);
  const symbols = [];
  while (!reader.atEnd) {
    const kind = reader.byte();
    const end = reader.number() + reader.at;
    if (kind === SYMBOL_TABLE) repeat(reader, () => symbols.push(readSymbol(reader, segments)));
    reader.at = end;
  }
  return symbols;
}

function readSymbol(reader, segments) {
  const kind = reader.byte();
  const flags = reader.number();
  const name = () => reader.bytes(reader.number()).toString();
  if (kind === FUNCTION || kind === GLOBAL || kind === TAG || kind === TABLE) {
    const index = reader.number();
    const named = !(flags & UNDEFINED) || flags & EXPLICIT_NAME;
    return { kind, index, name: named ? name() : "" };
  }
  if (kind === DATA_SYMBOL) {
    const symbol = { kind, name: name(), start: 0, end: 0 };
    if (flags & UNDEFINED) return symbol;
    const segment = reader.number();
    const start = segments[segment] + reader.number();
    return { ...symbol, start, end: start + reader.number() };
  }
  if (kind === SECTION) return { kind, index: reader.number(), name: "" };
  throw new Error(`a symbol of unknown kind ${kind}`);
}
