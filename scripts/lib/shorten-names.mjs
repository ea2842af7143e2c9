// wasm-bindgen names each import with a hash: random characters, which do not compress, both in the module and in its
// glue. This gives imports and exports short names.

import { encodeNumber, mapSections, Reader, sectionOf } from "./wasm-binary.mjs";

const [IMPORTS, EXPORTS] = [2, 7];

/**
 * Renames what a module imports and exports in the module and in the glue that provides and uses it.
 *
 * @param {Uint8Array} wasm the module
 * @param {string} glue the JavaScript beside it
 * @returns {{ wasm: Buffer, glue: string }} both with short names
 */
export function shortenNames(wasm, glue) {
  let renamed = glue;
  let count = 0;
  const next = () => `_${(count++).toString(36)}`;
  const modules = new Map();
  /** The object that has the imports, by its name in the glue. */
  const moduleName = (name) => {
    const key = `"${name}": `;
    if (!modules.has(name) && glue.includes(key)) {
      modules.set(name, next());
      renamed = renamed.replace(key, `${modules.get(name)}: `);
    }
    return modules.get(name) ?? name;
  };
  const importName = (name) => {
    const key = `${name}: function`;
    if (!glue.includes(key)) return name;
    const short = next();
    renamed = renamed.replace(key, `${short}: function`);
    return short;
  };
  const exportName = (name) => {
    const use = new RegExp(`(?<![\\w.'"])wasm\\.${name}(?!\\w)`, "g");
    if (!use.test(glue)) return name;
    // Tests tell by their names which exports the browser calls back.
    const short = name.includes("__invoke__") ? `i${next()}` : next();
    renamed = renamed.replace(use, `wasm.${short}`);
    return short;
  };
  const short = mapSections(wasm, (id, content, whole) => {
    if (id === IMPORTS) return sectionOf(id, renameImports(content, moduleName, importName));
    if (id === EXPORTS) return sectionOf(id, renameExports(content, exportName));
    return whole;
  });
  return { wasm: short, glue: renamed };
}

function renameImports(section, moduleName, importName) {
  const reader = new Reader(section, 0);
  const count = reader.number();
  const parts = [encodeNumber(count)];
  for (let i = 0; i < count; i++) {
    parts.push(text(moduleName(readText(reader))), text(importName(readText(reader))));
    const start = reader.at;
    reader.skipImportDescription();
    parts.push(section.subarray(start, reader.at));
  }
  return Buffer.concat(parts);
}

function renameExports(section, exportName) {
  const reader = new Reader(section, 0);
  const count = reader.number();
  const parts = [encodeNumber(count)];
  for (let i = 0; i < count; i++) {
    parts.push(text(exportName(readText(reader))));
    const start = reader.at;
    reader.byte();
    reader.number();
    parts.push(section.subarray(start, reader.at));
  }
  return Buffer.concat(parts);
}

function readText(reader) {
  return reader.bytes(reader.number()).toString();
}

function text(value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([encodeNumber(bytes.length), bytes]);
}
