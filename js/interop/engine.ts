import load, { checkOptions, Shell, trackId } from "../../pkg/hlswarm_interop.js";
import type { Engine } from "../engine.js";
import type { EngineSource } from "../init.js";
import { tellPlaylist, tellStreams } from "./streams.js";

/** The engine with what viewers of p2p-media-loader need: larger, and loaded only where they are asked for. */
export async function loadInterop(source?: EngineSource | Promise<EngineSource>): Promise<Engine> {
  const found = await source;
  await load({ module_or_path: found ?? new URL("hlswarm-interop_bg.wasm", import.meta.url) });
  return { Shell, checkOptions, trackId, interop: { tellStreams, tellPlaylist } };
}
