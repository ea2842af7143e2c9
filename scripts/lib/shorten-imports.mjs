// wasm-bindgen names each import with a hash: random characters, which do not compress, both in the module and in its
// glue. This gives them short names.

import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";

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
  const short = mapSections(wasm, (id, content, whole) =>
    id === IMPORT_SECTION ? sectionOf(id, renameImports(content, rename)) : whole,
  );
  return { wasm: short, glue: renamed };
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
