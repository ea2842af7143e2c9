import assert from "node:assert/strict";
import { test } from "node:test";
import { trimGlue } from "./trim-glue.mjs";

const glue = `class Shell {}
if (Symbol.dispose) Shell.prototype[Symbol.dispose] = Shell.prototype.free;
const ShellFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_shell_free(ptr, 1));
const cachedTextEncoder = new TextEncoder();
if (!('encodeInto' in cachedTextEncoder)) {
    cachedTextEncoder.encodeInto = function (arg, view) {
        return { read: arg.length };
    };
}
function init(module) {
    if (module !== undefined) {
        ({module} = module)
    } else {
        console.warn('using deprecated parameters for the initialization function; pass a single object instead')
    }
    return module;
}
`;

test("what no page needs is cut out of the glue, and nothing else", () => {
  assert.equal(
    trimGlue(glue),
    `class Shell {}
const ShellFinalization = new FinalizationRegistry(ptr => wasm.__wbg_shell_free(ptr, 1));
const cachedTextEncoder = new TextEncoder();
function init(module) {
    if (module !== undefined) {
        ({module} = module)
    }
    return module;
}
`,
  );
});

test("glue in other words is told, so that nobody wonders why it has grown", () => {
  assert.throws(() => trimGlue(glue.replace("if (Symbol.dispose)", "if (globalThis.using)")), /Symbol/);
});
