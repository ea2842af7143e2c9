import type {
  FragmentLoaderContext,
  HlsConfig,
  Loader,
  LoaderCallbacks,
  LoaderConfiguration,
  LoaderStats,
} from "hls.js";
import type { Events } from "../events.js";
import { harmless } from "../events.js";

/** How long the network took for a segment, in milliseconds. */
export interface Timing {
  firstByteMs: number;
  totalMs: number;
}

/** Why the engine did not deliver. */
export interface Failure {
  kind: "unknown" | "status" | "network" | "timeout" | "refused" | "shutdown" | "broken";
  status: number;
  message: string;
}

/** What is told to the one who asked for a segment: any number of `progress`, then `delivered` or `failed`, once. */
export interface Answer {
  delivered(data: ArrayBuffer, timing: Timing): void;
  failed(failure: Failure): void;
  /** The HTTP download for it: moments on the page's clock, 0 for not yet, and bytes. All 0: there is none. */
  progress(startedMs: number, firstMs: number, loaded: number, total: number): void;
}

/** A request under way. */
export interface Ticket {
  /** The answer is not needed any more. */
  cancel(): void;
}

/** What the loaders of one player share. */
export interface Hub {
  /** Resolves soon, when waiting a moment may bring the engine; null when it is there or will not come. */
  soon(): Promise<unknown> | null;
  /** Asks the engine for a segment; null when hls.js must load it by itself. */
  want(context: FragmentLoaderContext, answer: Answer): Ticket | null;
  /** Says that hls.js loads something by itself that could have been shared. */
  bypassed(context: FragmentLoaderContext, reason: Events["bypassed"]["reason"]): void;
  /** Counts what hls.js loaded by itself. */
  loadedAlone(bytes: number): void;
  /** The player's own estimate of the network, in bits per second. */
  bandwidthBps(): number;
}

type FragmentLoader = Loader<FragmentLoaderContext>;
type Callbacks = LoaderCallbacks<FragmentLoaderContext>;
/** A loader class as hls.js is configured with. */
export type LoaderClass = new (config: HlsConfig) => FragmentLoader;

/**
 * The loader class that hls.js is given. Each instance wraps one of the player's own class (`ownClass` is asked for
 * each), which loads whatever the engine cannot.
 */
export function createLoaderClass(hub: Hub, ownClass: () => LoaderClass): LoaderClass {
  return class extends SegmentLoader {
    constructor(config: HlsConfig) {
      super(hub, new (ownClass())(config));
    }
  };
}

class SegmentLoader implements FragmentLoader {
  context: FragmentLoaderContext | null = null;
  /** hls.js keeps this very object as the fragment's: it is changed, never replaced. */
  readonly stats: LoaderStats;
  readonly #hub: Hub;
  readonly #own: FragmentLoader;
  #usesOwn = false;
  #config: LoaderConfiguration | null = null;
  #callbacks: Callbacks | null = null;
  #ticket: Ticket | null = null;
  #limit: ReturnType<typeof setTimeout> | undefined;
  #calledMs = 0;

  constructor(hub: Hub, own: FragmentLoader) {
    this.#hub = hub;
    this.#own = own;
    this.stats = own.stats;
  }

  load(context: FragmentLoaderContext, config: LoaderConfiguration, callbacks: Callbacks): void {
    this.context = context;
    this.#config = config;
    this.#callbacks = callbacks;
    this.#calledMs = performance.now();
    const soon = this.#hub.soon();
    if (!soon) {
      this.#begin();
      return;
    }
    this.#wait();
    soon.then(() => {
      if (this.#callbacks) this.#begin();
    });
  }

  abort(): void {
    if (this.#usesOwn) {
      this.#own.abort();
      return;
    }
    const { context } = this;
    const callbacks = this.#end(true);
    if (callbacks?.onAbort && context) callbacks.onAbort(this.stats, context, null);
  }

  destroy(): void {
    this.#end(true);
    this.context = null;
    this.#own.destroy();
  }

  getCacheAge(): number | null {
    return (this.#usesOwn && this.#own.getCacheAge?.()) || null;
  }

  getResponseHeader(name: string): string | null {
    return (this.#usesOwn && this.#own.getResponseHeader?.(name)) || null;
  }

  #begin(): void {
    const { context } = this;
    if (!context) return;
    this.#wait();
    const ticket = this.#hub.want(context, {
      delivered: (data, timing) => this.#delivered(data, timing),
      failed: (failure) => this.#failed(failure),
      progress: (...progress) => this.#progress(...progress),
    });
    if (!ticket) {
      this.#useOwn();
      return;
    }
    // The answer may have come already.
    if (!this.#callbacks || this.#usesOwn) return;
    this.#ticket = ticket;
    const limitMs = this.#config?.loadPolicy.maxLoadTimeMs ?? 0;
    if (Number.isFinite(limitMs) && limitMs > 0) {
      this.#limit = setTimeout(() => {
        ticket.cancel();
        this.#giveUp("failed");
      }, limitMs);
    }
  }

  /** Ends our part. Returns the callbacks, if they have not been called. */
  #end(cancelled: boolean): Callbacks | null {
    const callbacks = this.#callbacks;
    this.#callbacks = null;
    clearTimeout(this.#limit);
    if (cancelled) {
      this.#ticket?.cancel();
      // As hls.js's loaders say: what is aborted is no sample of the network.
      if (callbacks && !this.#usesOwn) this.stats.aborted = true;
    }
    this.#ticket = null;
    return callbacks;
  }

  /**
   * Nothing is on the way over HTTP. hls.js gives a fragment up when `now - loading.start` grows too long for the
   * bytes that came; what waits for a viewer must not look like a slow CDN, so the clock has not started.
   */
  #wait(): void {
    const { stats } = this;
    stats.loaded = stats.total = 0;
    stats.loading.first = 0;
    Object.defineProperty(stats.loading, "start", {
      configurable: true,
      enumerable: true,
      get: () => performance.now(),
      set: (value: number) => this.#setStart(value),
    });
  }

  #setStart(value: number): void {
    Object.defineProperty(this.stats.loading, "start", {
      configurable: true,
      enumerable: true,
      writable: true,
      value,
    });
  }

  #progress(startedMs: number, firstMs: number, loaded: number, total: number): void {
    if (!this.#callbacks || this.#usesOwn) return;
    if (!startedMs) {
      this.#wait();
      return;
    }
    const { stats } = this;
    this.#setStart(startedMs);
    stats.loading.first = firstMs;
    stats.loaded = loaded;
    // Equal numbers would say that all is there.
    stats.total = total > loaded ? total : 0;
  }

  #delivered(data: ArrayBuffer, { firstByteMs, totalMs }: Timing): void {
    const { context, stats } = this;
    const callbacks = this.#end(false);
    if (!callbacks || !context) return;
    const bytes = data.byteLength;
    const tookMs = totalMs > 0 ? totalMs : (bytes * 8000) / (this.#hub.bandwidthBps() || 1e6);
    const now = performance.now();
    // Back-dated, so that the player samples the network and not our cache. The clock of a page that has just
    // started may be younger than the download of a cached segment took: then the times are negative, and right.
    this.#setStart(now - tookMs);
    stats.loading.first = now - tookMs + Math.min(firstByteMs, tookMs);
    stats.loading.end = now;
    stats.loaded = stats.total = bytes;
    stats.bwEstimate = (bytes * 8000) / Math.max(tookMs - firstByteMs, 1);
    harmless(() => {
      callbacks.onProgress?.(stats, context, data, null);
      callbacks.onSuccess({ url: context.url, data, code: 200 }, stats, context, null);
    });
  }

  #failed({ kind, status, message }: Failure): void {
    const { context, stats } = this;
    if (!this.#callbacks || !context) return;
    if (kind === "unknown" || kind === "shutdown" || kind === "broken") {
      this.#giveUp(kind);
      return;
    }
    // The player's own loader has other limits, and perhaps better luck; and its errors are the player's.
    if (kind === "network" || kind === "timeout") {
      this.#giveUp("failed");
      return;
    }
    const callbacks = this.#end(false);
    this.#setStart(this.#calledMs);
    const code = kind === "refused" ? 502 : status;
    harmless(() => callbacks?.onError({ code, text: message }, context, null, stats));
  }

  #giveUp(reason: Events["bypassed"]["reason"]): void {
    if (!this.#callbacks || !this.context || this.#usesOwn) return;
    this.#ticket = null;
    this.#hub.bypassed(this.context, reason);
    this.#useOwn();
  }

  /** Lets the player's own loader do it, as if we had never been asked. */
  #useOwn(): void {
    const { context, stats } = this;
    const callbacks = this.#callbacks;
    const config = this.#config;
    if (!callbacks || !context || !config) return;
    clearTimeout(this.#limit);
    this.#usesOwn = true;
    this.#setStart(0);
    stats.loading.first = stats.loading.end = 0;
    stats.loaded = stats.total = 0;
    this.#own.load(context, config, {
      ...callbacks,
      onSuccess: (response, ownStats, ownContext, details) => {
        this.#hub.loadedAlone(ownStats.loaded);
        callbacks.onSuccess(response, ownStats, ownContext, details);
      },
    });
  }
}
