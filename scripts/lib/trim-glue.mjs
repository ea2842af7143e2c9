// wasm-bindgen's glue provides for browsers that could not run the module anyway, and for other ways to call it than ours.
// Every page would download that.

/** What is cut, and what stands in its place. */
const CUTS = [
  // Every browser with reference types in WebAssembly has these.
  [
    /\(typeof FinalizationRegistry === 'undefined'\)\s*\? \{[^\n]*\}\s*: new FinalizationRegistry/g,
    "new FinalizationRegistry",
  ],
  [/^if \(!\('encodeInto' in cachedTextEncoder\)\) \{\n[\s\S]*?^\}\n/gm, ""],
  // Nothing of ours is declared with `using`.
  [/^if \(Symbol\.dispose\) [^\n]*\n/gm, ""],
  // We pass an object.
  [/ else \{\s*console\.warn\('using deprecated [^\n]*\n\s*\}/g, ""],
];

/**
 * Cuts what no page of ours needs out of the glue.
 *
 * @param {string} glue as wasm-bindgen wrote it
 * @returns {string} the rest
 * @throws {Error} when something is not there to be cut: wasm-bindgen writes it in other words now
 */
export function trimGlue(glue) {
  return CUTS.reduce((text, [what, instead]) => {
    const rest = text.replace(what, instead);
    if (rest === text)
      throw new Error(`the glue has nothing like ${what}: does wasm-bindgen write it in other words?`);
    return rest;
  }, glue);
}
