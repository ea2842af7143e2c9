import type { HlsConfig } from "hls.js";

/**
 * Settings of hls.js under which viewers can share most. Spread them into the player's configuration; hlswarm
 * itself never changes it:
 *
 * ```js
 * const hls = new Hls({ ...hlsPresets.live, debug: false });
 * ```
 */
export const hlsPresets = {
  /** Films. A buffer long enough that peers have time, short enough that little is fetched in vain. */
  vod: { maxBufferLength: 30, maxMaxBufferLength: 60, backBufferLength: 90 },
  /**
   * Live. Four segments behind the edge, so that a segment is on its way between viewers before it is needed. At
   * the edge itself every viewer would need each segment in the moment it appears.
   */
  live: {
    liveSyncDurationCount: 4,
    liveMaxLatencyDurationCount: 10,
    maxBufferLength: 30,
    maxMaxBufferLength: 60,
    backBufferLength: 30,
  },
} as const satisfies Record<string, Partial<HlsConfig>>;
