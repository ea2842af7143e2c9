import load, { checkOptions, Shell, trackId } from "../pkg/hlswarm.js";

/** Where the engine comes from: a URL, or a compiled module, or its bytes. */
export type EngineSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** The engine, loaded. */
export interface Engine {
  Shell: typeof Shell;
  checkOptions: typeof checkOptions;
  trackId: typeof trackId;
}

let loading: Promise<Engine> | undefined;

/**
 * Loads the engine, once per page. `attachP2P` does it by itself; call it earlier to save the time, or with a
 * source of your own (default: the file beside this module). A failed attempt may be repeated.
 */
export async function init(source?: EngineSource | Promise<EngineSource>): Promise<void> {
  await loadEngine(source);
}

/** {@link init}, with the engine. */
export function loadEngine(source?: EngineSource | Promise<EngineSource>): Promise<Engine> {
  loading ??= Promise.resolve(source)
    .then(async (found) => {
      await load({ module_or_path: found ?? new URL("hlswarm_bg.wasm", import.meta.url) });
      return { Shell, checkOptions, trackId };
    })
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}
