/**
 * Peer-assisted HLS delivery. The two lines that a page with hls.js needs are in `hlswarm/hls`; this entry has what
 * does not depend on a player.
 */
export type { CloseReason, Event, Events, SegmentKey } from "./events.js";
export { type EngineSource, init } from "./init.js";
export { fromP2PMediaLoader, type Migration, type MigrationHints } from "./migrate.js";
export type {
  Hooks,
  LoaderOptions,
  Options,
  SegmentInfo,
  SegmentsOptions,
  SegmentsStorage,
} from "./options.js";
export { hlsPresets } from "./presets.js";
export type { PeerStats, Stats, TrackerStats } from "./stats.js";
export { version } from "./version.js";
