import load, { checkOptions, Shell, trackId } from "../pkg/hlswarm.js";
import type { EngineSource } from "./init.js";

/** The engine, loaded. */
export interface Engine {
  Shell: typeof Shell;
  checkOptions: typeof checkOptions;
  trackId: typeof trackId;
}

let loading: Promise<Engine> | undefined;

/** Loads the engine, once per page. A failed attempt may be repeated. */
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
