import load, { checkOptions, Shell, trackId } from "../pkg/hlswarm_full.js";
import type { Engine } from "./engine.js";
import type { EngineSource } from "./init.js";
import { tellPlaylist, tellStreams } from "./interop/streams.js";

/**
 * The engine with what signed records and viewers of p2p-media-loader need: larger, and loaded only where either is asked
 * for.
 */
export async function loadFull(source?: EngineSource | Promise<EngineSource>): Promise<Engine> {
  const found = await source;
  await load({ module_or_path: found ?? new URL("hlswarm-full_bg.wasm", import.meta.url) });
  const sidecar = (shell: unknown, bytes: Uint8Array) => (shell as Shell).sidecar(bytes);
  return { Shell, checkOptions, trackId, full: { sidecar, tellStreams, tellPlaylist } };
}
