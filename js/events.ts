/** A segment's name: equal for all viewers of the manifest. */
export interface SegmentKey {
  /** The rendition or audio track, as 16 hexadecimal digits. */
  track: string;
  /** Discontinuity sequence number. */
  discontinuity: number;
  /** Media sequence number. */
  sequence: number;
}

/** Why a link to a peer ended. Those with a text tell more in it. */
export type CloseReason =
  | "left"
  | "duplicate"
  | "replaced"
  | "shutdown"
  | { connectionLost: string }
  | { violation: string }
  | { timeout: string }
  | { incompatible: string };

/** All events by their type. */
export interface Events {
  /** A segment is complete and verified. */
  segmentLoaded: {
    type: "segmentLoaded";
    key: SegmentKey;
    /** Where its bytes came from. */
    source: "http" | "p2p" | "mixed";
    httpBytes: number;
    p2pBytes: number;
    /** Milliseconds from the request on the network to the last byte. */
    durationMs: number;
  };
  /** A segment could not be had over HTTP. hls.js's retry policy decides what next. */
  segmentFailed: { type: "segmentFailed"; key: SegmentKey; message: string };
  /** A download from a peer was given up and HTTP took over. */
  fallback: { type: "fallback"; key: SegmentKey; reason: string; keptBytes: number };
  /** Bytes of a segment proved wrong: not played, not kept, fetched again. `peers` had sent them; none if the CDN had. */
  segmentRefused: { type: "segmentRefused"; key: SegmentKey; peers: string[] };
  /** Signed records could not be had or were not taken; what they are about comes over HTTP alone. */
  recordsRefused: { type: "recordsRefused"; reason: string };
  /** A segment was dropped from the cache. */
  segmentEvicted: { type: "segmentEvicted"; key: SegmentKey };
  /** A segment that could have been shared was left to hls.js's own loader. */
  bypassed: {
    type: "bypassed";
    url: string;
    /** `loading`: not ready yet. `unknown`: in no playlist we were shown. `failed`: our HTTP could not. `broken`: see `error`. */
    reason: "loading" | "unknown" | "failed" | "broken" | "shutdown";
  };
  /** A link to a peer passed its handshake. */
  peerConnected: { type: "peerConnected"; peer: string };
  /** A link to a peer ended. */
  peerClosed: { type: "peerClosed"; peer: string; reason: CloseReason };
  /** Segment bytes were sent to a peer. */
  uploaded: { type: "uploaded"; peer: string; key: SegmentKey; bytes: number };
  /** A tracker answered the first announce of a session. */
  trackerConnected: { type: "trackerConnected"; url: string };
  /** A tracker session closed. It is retried after `retryMs`. */
  trackerClosed: { type: "trackerClosed"; url: string; reason: string; retryMs: number };
  /** A tracker refused a message or sent one that makes no sense. */
  trackerError: { type: "trackerError"; url: string; message: string };
  /** Anything else that went wrong. Playback goes on. */
  error: {
    type: "error";
    message: string;
    /** Whether hlswarm is out of action from now on: hls.js then loads everything itself. */
    fatal: boolean;
  };
}

/** Any event. */
export type Event = Events[keyof Events];

type Listener = (event: never) => void;

/** Calls listeners; what they throw is reported and harms nobody else. */
export class Emitter {
  readonly #listeners = new Map<string, Set<Listener>>();

  /** Calls `listener` with each event of this type. Returns a function that stops it. */
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void {
    if (typeof listener !== "function") throw new TypeError(`on("${type}"): the listener is not a function`);
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => {
      listeners.delete(listener);
    };
  }

  /** Tells an event to its listeners. */
  emit(event: Event): void {
    for (const listener of [...(this.#listeners.get(event.type) ?? [])]) {
      harmless(() => listener(event as never));
    }
  }

  /** Forgets all listeners. */
  clear(): void {
    this.#listeners.clear();
  }
}

/** Calls code of the page. What it throws goes where uncaught errors go, not through us. */
export function harmless(call: () => void): void {
  try {
    call();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}
