import load, { checkOptions, Shell, trackId } from "../pkg/hlswarm.js";
import type { EngineSource } from "./init.js";
import type { tellPlaylist, tellStreams } from "./interop/streams.js";

/** The engine, loaded. */
export interface Engine {
  Shell: typeof Shell;
  /** Says what is allowed but probably not meant; throws, or rejects, with all that is not allowed. */
  checkOptions(json: string): string[] | Promise<string[]>;
  trackId: typeof trackId;
  /** What only the full engine has. */
  full?: {
    sidecar(shell: Shell, bytes: Uint8Array): void;
    tellStreams: typeof tellStreams;
    tellPlaylist: typeof tellPlaylist;
  };
}

let loading: Promise<Engine> | undefined;
let loadingFull: Promise<Engine> | undefined;

/** Loads the engine, once per page. A failed attempt may be repeated. */
export function loadEngine(source?: EngineSource | Promise<EngineSource>): Promise<Engine> {
  loading ??= Promise.resolve(source)
    .then(async (found) => {
      await load({ module_or_path: found ?? new URL("hlswarm_bg.wasm", import.meta.url) });
      return { Shell, checkOptions: check, trackId };
    })
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}

/** The usual engine knows whether options are good. What is wrong with them is said by the full one, in the rare case. */
function check(json: string): string[] | Promise<string[]> {
  try {
    return checkOptions(json);
  } catch (error) {
    return loadFullEngine().then(
      (full) => full.checkOptions(json),
      () => Promise.reject(error),
    );
  }
}

/** {@link loadEngine} for the engine that knows signed records and speaks with viewers of p2p-media-loader, too. */
export function loadFullEngine(source?: EngineSource | Promise<EngineSource>): Promise<Engine> {
  loadingFull ??= import("./full-engine.js")
    .then(({ loadFull }) => loadFull(source))
    .catch((error: unknown) => {
      loadingFull = undefined;
      throw error;
    });
  return loadingFull;
}
