/**
 * The hls.js side of hlswarm.
 *
 * ```js
 * import { attachP2P } from "hlswarm/hls";
 * const p2p = attachP2P(hls, { loader: { trackerAnnounce: ["wss://tracker.example.com"] } });
 * ```
 */
import type Hls from "hls.js";
import { loadEngine, loadFullEngine } from "./engine.js";
import type { Events } from "./events.js";
import { type Options, show } from "./options.js";
import { Session } from "./session.js";
import type { Stats } from "./stats.js";

export type { CloseReason, Event, Events, SegmentKey } from "./events.js";
export { type EngineSource, init } from "./init.js";
export type {
  Hooks,
  LoaderOptions,
  Options,
  SegmentInfo,
  SegmentsOptions,
  SegmentsStorage,
} from "./options.js";
export type { PeerStats, Stats, TrackerStats } from "./stats.js";

/** A player with peers. */
export interface P2P {
  /**
   * Resolves when the engine is loaded and the options are found good. Rejects with all that is wrong otherwise;
   * playback goes on over HTTP all the same, and an `error` event and one line on the console tell of it.
   */
  readonly ready: Promise<void>;
  /** Calls `listener` with each event of a type. Returns a function that stops it. */
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void;
  /** A snapshot. */
  stats(): Stats;
  /** Switches peers on or off while playing. Off withdraws from trackers and closes all links at once. */
  setP2P(enabled: boolean): void;
  /**
   * Takes another access token for trackers that ask for one, before or after the old one's time is over. A tracker that
   * refused the old one is asked again at once; no link is lost.
   */
  setTrackerToken(token: string): void;
  /**
   * Says whether the user agrees to share with peers. With `loader.consentRequired` no tracker is contacted and no
   * connection made before a yes. A no withdraws at once, as `setP2P(false)` does, and stands until the next yes.
   */
  setConsent(given: boolean): void;
  /** Ends it: the player has its own loaders back and plays on. May be called again; hls.js's `destroy()` does it too. */
  destroy(): void;
}

const attached = new WeakMap<Hls, Session>();

/**
 * Lets a player share segments with other viewers. Works on a new instance and on one that plays already; returns
 * at once. Until the engine has loaded, and whenever it cannot help, hls.js loads by itself as it always does.
 *
 * @param hls - The instance.
 * @param options - See {@link Options}; all have defaults, but without `loader.trackerAnnounce` nobody is found.
 * @throws TypeError if `hls` is no hls.js instance or `options` no object.
 * @throws Error if peers are attached to this instance already.
 */
export function attachP2P(hls: Hls, options: Options = {}): P2P {
  if (!hls || typeof hls.on !== "function" || typeof hls.config !== "object" || hls.config === null) {
    throw new TypeError(
      `attachP2P: hls is ${show(hls)}; it must be an instance of Hls that is not destroyed`,
    );
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`attachP2P: options is ${show(options)}; it must be an object`);
  }
  if (attached.has(hls))
    throw new Error("attachP2P: this Hls instance has peers already; destroy() them first");
  const full = options.interop || options.integrity?.mode === "signed";
  const session = new Session(hls, options, full ? loadFullEngine : loadEngine);
  attached.set(hls, session);
  return {
    ready: session.ready,
    on: (type, listener) => session.events.on(type, listener),
    stats: () => session.stats(),
    setP2P: (enabled) => session.setP2P(enabled),
    setTrackerToken: (token) => session.setTrackerToken(token),
    setConsent: (given) => session.setConsent(given),
    destroy: () => {
      session.destroy();
      attached.delete(hls);
    },
  };
}
