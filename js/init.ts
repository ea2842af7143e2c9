import { loadEngine, loadFullEngine } from "./engine.js";

/** Where the engine comes from: a URL, or a compiled module, or its bytes. */
export type EngineSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/**
 * Loads the engine, once per page. `attachP2P` does it by itself; call it earlier to save the time, or with a
 * source of your own (default: the file beside this module). A failed attempt may be repeated.
 */
export async function init(
  source?: EngineSource | Promise<EngineSource>,
  {
    interop,
    signed,
  }: {
    /** Whether it is for pages with the option `interop`. */
    interop?: boolean;
    /** Whether it is for pages with `integrity.mode` "signed". */
    signed?: boolean;
  } = {},
): Promise<void> {
  await (interop || signed ? loadFullEngine : loadEngine)(source);
}
