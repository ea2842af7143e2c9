// wasm-bindgen names each import with a hash: random characters, which do not compress, both in the module and in its
// glue. This gives them short names.

const IMPORT_SECTION = 2;

/**
 * Renames the function imports of a module in the module and in the glue that provides them.
 *
 * @param {Uint8Array} wasm the module
 * @param {string} glue the JavaScript beside it
 * @returns {{ wasm: Buffer, glue: string }} both with short names
 */
export function shortenImports(wasm, glue) {
  let renamed = glue;
  let count = 0;
  const rename = (name) => {
    const key = `${name}: function`;
    if (!glue.includes(key)) return name;
    const short = `i${(count++).toString(36)}`;
    renamed = renamed.replace(key, `${short}: function`);
    return short;
  };
  const reader = new Reader(wasm, 8);
  const parts = [wasm.subarray(0, 8)];
  while (!reader.atEnd) {
    const start = reader.at;
    const id = reader.byte();
    const section = reader.bytes(reader.number());
    parts.push(
      id === IMPORT_SECTION ? sectionOf(id, renameImports(section, rename)) : wasm.subarray(start, reader.at),
    );
  }
  return { wasm: Buffer.concat(parts), glue: renamed };
}

function renameImports(section, rename) {
  const reader = new Reader(section, 0);
  const count = reader.number();
  const parts = [encodeNumber(count)];
  for (let i = 0; i < count; i++) {
    const module = reader.bytes(reader.number());
    const name = Buffer.from(rename(reader.bytes(reader.number()).toString()));
    const start = reader.at;
    reader.skipImportDescription();
    parts.push(encodeNumber(module.length), module, encodeNumber(name.length), name);
    parts.push(section.subarray(start, reader.at));
  }
  return Buffer.concat(parts);
}

function sectionOf(id, content) {
  return Buffer.concat([Buffer.of(id), encodeNumber(content.length), content]);
}

function encodeNumber(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return Buffer.from(bytes);
}

/** Reads the parts of the binary format that are needed here. */
class Reader {
  constructor(buffer, at) {
    this.buffer = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.at = at;
  }

  get atEnd() {
    return this.at >= this.buffer.length;
  }

  byte() {
    return this.buffer[this.at++];
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  }

  bytes(length) {
    this.at += length;
    return this.buffer.subarray(this.at - length, this.at);
  }

  skipLimits() {
    const flags = this.byte();
    this.number();
    if (flags & 1) this.number();
  }

  skipImportDescription() {
    const kind = this.byte();
    if (kind === 0) this.number();
    else if (kind === 1) {
      this.byte();
      this.skipLimits();
    } else if (kind === 2) this.skipLimits();
    else if (kind === 3) this.at += 2;
    else throw new Error(`import of unknown kind ${kind}`);
  }
}
