// Reading and writing the WebAssembly binary format, as far as the build needs it.

/** Reads the parts of the binary format that are needed here. */
export class Reader {
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

  /** Reads the head of a data segment: the address that it is put at, or null if it has none or it is computed. */
  activeDataAddress() {
    const kind = this.number();
    if (kind === 1) return null;
    if (kind === 2) this.number();
    if (this.byte() !== 0x41) throw new Error("a data segment whose address is computed");
    const address = this.number();
    if (this.byte() !== 0x0b) throw new Error("a data segment whose address is computed");
    return address;
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

/** A section with its head. */
export function sectionOf(id, content) {
  return Buffer.concat([Buffer.of(id), encodeNumber(content.length), content]);
}

/** A number as the format writes it (LEB128). */
export function encodeNumber(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return Buffer.from(bytes);
}

/** Calls `visit(id, content, whole)` for each section; returns the module with what it returns instead of each. */
export function mapSections(wasm, visit) {
  const reader = new Reader(wasm, 8);
  const parts = [reader.buffer.subarray(0, 8)];
  while (!reader.atEnd) {
    const start = reader.at;
    const id = reader.byte();
    const content = reader.bytes(reader.number());
    parts.push(visit(id, content, reader.buffer.subarray(start, reader.at)));
  }
  return Buffer.concat(parts);
}
