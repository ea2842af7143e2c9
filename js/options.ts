/**
 * The options object. Everything but the hooks is plain JSON; defaults, units and bounds are in `docs/options.md`.
 */
export interface Options {
  /** Ready-made settings laid over the defaults; keys given explicitly win over them. */
  presets?: "vod" | "live";
  /** Which segments are looked at, and in which swarm they are shared. */
  segments?: SegmentsOptions;
  /** How segments are fetched, kept and shared, and the hooks. */
  loader?: LoaderOptions & Hooks;
  /** How bytes are known to be a segment's. */
  integrity?: IntegrityOptions;
  /**
   * Whose swarms to join beside our own. With `"p2p-media-loader"` viewers of p2p-media-loader 2.3 to 4.x and of
   * hlswarm share segments; version "v3" is that of 5.x. Loads a larger engine. Default: nobody's.
   */
  interop?: "p2p-media-loader" | { with: "p2p-media-loader"; version?: "v2" | "v3" } | false;
  /** Bounds that protect the viewer from hostile or broken peers: numbers by name, see `docs/options.md`. */
  limits?: Record<string, number>;
}

/** Which segments are looked at, and in which swarm they are shared. */
export interface SegmentsOptions {
  /** How many segments, from the one that the player asks for, are handed to the scheduler. Default 20. */
  forwardSegmentCount?: number;
  /** Names the swarm; equal on all viewers who shall share. Default: the manifest's URL without its query. */
  swarmId?: string;
  /**
   * Mixed into the swarm's name, so that those who know the URL alone cannot ask a tracker for the viewers; equal on
   * all viewers who shall share. 8 to 1024 characters. Default none.
   */
  swarmSecret?: string;
}

/** How bytes are known to be a segment's; `docs/integrity.md` says what each mode prevents. */
export interface IntegrityOptions {
  /**
   * What bytes are held against. `auto` (default): what HTTP serves. `signed`: signed records; a segment without one is
   * not shared. `off`: their length, and your `segmentValidator`.
   */
  mode?: "off" | "auto" | "signed";
  /** With `signed`: the Ed25519 keys of which one must have signed, as 64 hexadecimal digits each. */
  publicKeys?: string[];
  /** With `signed`: the stream's name as given to `hlswarm-sign --stream`. */
  stream?: string;
  /** With `signed`: where a playlist's records are; `{playlist}` is its URL without query. Default `{playlist}.hsig`. */
  sidecar?: string;
  /** With `signed`: records of live tracks are refused when they are older, in milliseconds. Default 86400000. */
  maxAgeMs?: number;
}

/** How segments are fetched, kept and shared. */
export interface LoaderOptions {
  /** Milliseconds that a segment is kept after its last use. Default 300000. */
  cachedSegmentExpiration?: number;
  /** How many segments are kept. Default 30. */
  cachedSegmentsCount?: number;
  /** Bytes of segments that are kept. Default 256 MiB, on phones 96 MiB. */
  cacheBytes?: number;
  /** Segments up to this priority come over HTTP if need be. Default 1. */
  requiredSegmentsPriority?: number;
  /** Segments up to this priority may be fetched over HTTP ahead of need. Default 20. */
  httpDownloadMaxPriority?: number;
  /** Probability, per pending segment and interval, of starting a random HTTP download. Default 0.1. */
  httpDownloadProbability?: number;
  /** The interval of `httpDownloadProbability` in milliseconds. Default 1000. */
  httpDownloadProbabilityInterval?: number;
  /** No random HTTP download while no peer is connected. Default false. */
  httpDownloadProbabilitySkipIfNoPeers?: boolean;
  /** Milliseconds before HTTP is tried again for a segment that failed. Default 10000. */
  httpFailedSegmentTimeout?: number;
  /** Milliseconds after the start in which peers are asked first. Default 0. */
  httpDownloadInitialTimeout?: number;
  /** In that time, HTTP is allowed once the needed segment has waited so many milliseconds. Default 4000. */
  httpDownloadInitialTimeoutPerSegment?: number;
  /** Continue an aborted download from a peer over HTTP with `Range`. Default false. */
  httpDownloadRanges?: boolean;
  /** The same as `httpDownloadRanges`. */
  httpUseRanges?: boolean;
  /** Deadline for the first byte of an HTTP download in milliseconds. Default 10000. */
  httpTimeoutMs?: number;
  /** How many milliseconds a body may go without a byte. Default 10000. */
  httpStallTimeoutMs?: number;
  /** HTTP downloads at a time. Default 2. */
  simultaneousHttpDownloads?: number;
  /** Segments downloaded from peers at a time. Default 3. */
  simultaneousP2PDownloads?: number;
  /** Segments up to this priority may be fetched from peers. Default 20. */
  p2pDownloadMaxPriority?: number;
  /** A peer is given up when a segment takes longer, in milliseconds. Default 60000. */
  p2pSegmentDownloadTimeout?: number;
  /** Who fetches a segment that nobody has yet. Default "elected". */
  coordination?: "elected" | "random" | "neighbourhood";
  /** Largest data channel message in bytes. Default 65535. */
  webRtcMaxMessageSize?: number;
  /**
   * Trackers, as ws:// or wss:// URLs. Default none: no third party is contacted unless the page says so. All are used
   * at once; of an entry that is a list, which names the nodes of one tracker, one at a time.
   */
  trackerAnnounce?: (string | string[])[];
  /** Access token for trackers that ask for one, from the page's web server. Default none. */
  trackerToken?: string;
  /** Offers per announce. Default 10. */
  peerRequestsPerAnnounce?: number;
  /** Whether to use peers at all. Default true. */
  useP2P?: boolean;
  /** Download from peers, never upload. Default false. */
  consumeOnly?: boolean;
  /** Bytes a second sent to all peers together; 0 for no bound. Default 0. */
  uploadBytesPerSecond?: number;
  /** Bytes sent to peers in all; 0 for no bound. Default 0. */
  uploadBytesTotal?: number;
  /** Bytes sent to peers, as a multiple of those received over HTTP and from peers; 0 for no bound. Default 1. */
  uploadRatio?: number;
  /** Bytes that may be sent beyond `uploadRatio`. Default 256 MiB. */
  uploadRatioFloorBytes?: number;
  /** Upload also where the network is metered or the user asks to save data. Default false. */
  uploadOnMetered?: boolean;
  /** No tracker and no connection to a peer before `setConsent(true)`. Default false. */
  consentRequired?: boolean;
  /** Make links only while a tracker counts at least so many viewers, this one included. Default 0. */
  minSwarmSize?: number;
  /**
   * Connect through TURN servers only, and tell nobody another address. Default false, but true where `rtcConfig` has
   * `iceTransportPolicy: "relay"`.
   */
  relayOnly?: boolean;
}

/** Functions and live objects. They stand in `loader` beside the plain options. */
export interface Hooks {
  /** STUN and TURN servers. Default `{ iceServers: [] }`: no third party is contacted. */
  rtcConfig?: RTCConfiguration;
  /**
   * Asked about each complete segment before it is played or shared. A segment for which it answers anything but
   * `true`, or throws, is refused: fetched again over HTTP if a peer sent it, failed if the CDN did.
   */
  segmentValidator?: (segment: SegmentInfo, data: ArrayBuffer) => boolean | Promise<boolean>;
  /**
   * Changes an HTTP request, for a segment or a sidecar: return a `Request`, or a `RequestInit`, or nothing after
   * changing `init` in place.
   */
  requestSetup?: (
    url: string,
    init: RequestInit,
  ) => Request | RequestInit | undefined | Promise<Request | RequestInit | undefined>;
  /**
   * As hls.js's `xhrSetup`, for segments and sidecars that hlswarm fetches. The URL, headers and credentials that it
   * sets are taken over; the XMLHttpRequest itself is not sent.
   */
  xhrSetup?: (xhr: XMLHttpRequest, url: string) => void | Promise<void>;
  /** Makes the URL to fetch a segment from. Default: the playlist's. */
  segmentUrlBuilder?: (segment: SegmentInfo) => string;
  /** A second level below the cache in memory, asked before each HTTP download. */
  segmentsStorage?: SegmentsStorage;
}

/**
 * Keeps whole segments beyond the page's memory, for instance in IndexedDB or the Cache API. Keys are texts that
 * are the same for the same segment in each session. Whatever it throws counts as "not there".
 */
export interface SegmentsStorage {
  /** Keeps a segment's bytes. `data` is the storage's own copy. */
  store(key: string, data: ArrayBuffer): void | Promise<void>;
  /** The bytes, if they are there. */
  get(
    key: string,
  ): ArrayBuffer | Uint8Array | undefined | null | Promise<ArrayBuffer | Uint8Array | undefined | null>;
  /** The bytes were refused by `segmentValidator`: forget them. */
  remove(key: string): void | Promise<void>;
}

/** A segment as hooks see it. */
export interface SegmentInfo {
  /** Absolute URL from the playlist. */
  url: string;
  /** The part of the resource that the segment is (`end` exclusive), if it is not all of it. */
  byteRange?: { start: number; end: number };
  /** Its name: equal for all viewers of the manifest. */
  key: string;
  /** Whether any byte came from a peer (for `segmentValidator`). */
  fromPeers?: boolean;
}

/** The options, split. */
export interface ParsedOptions {
  /** The plain part as JSON text. */
  json: string;
  hooks: Hooks;
  /** Whose swarms to join beside our own, if any. */
  interop: { version: "v2" | "v3"; swarmId: string | undefined } | null;
  /** Whether peers wait for the user's consent. */
  consentRequired: boolean;
  /** What is wrong, each as "path: value is not allowed; it must be …". */
  problems: string[];
}

const FUNCTIONS = ["segmentValidator", "requestSetup", "xhrSetup", "segmentUrlBuilder"] as const;
const STORAGE_METHODS = ["store", "get", "remove"] as const;

/** Cache budget on phones, where pages are killed for the memory they take. */
const PHONE_CACHE_BYTES = 96 * 1024 * 1024;

/** Takes the hooks out and checks that the rest is plain data. Its meaning is checked by the engine. */
export function parseOptions(options: Options, phone: boolean): ParsedOptions {
  const problems: string[] = [];
  const { loader = {}, interop: asked, ...rest } = options as Options;
  const hooks: Hooks = {};
  let plainLoader: unknown = loader;
  if (isPlain(loader)) {
    const {
      rtcConfig,
      segmentValidator,
      requestSetup,
      xhrSetup,
      segmentUrlBuilder,
      segmentsStorage,
      ...plain
    } = loader;
    Object.assign(hooks, {
      rtcConfig,
      segmentValidator,
      requestSetup,
      xhrSetup,
      segmentUrlBuilder,
      segmentsStorage,
    });
    plainLoader = phone ? { cacheBytes: PHONE_CACHE_BYTES, ...withoutUndefined(plain) } : plain;
    checkHooks(hooks, problems);
    plainLoader = withRelays(plainLoader as LoaderOptions, hooks, problems);
  }
  const plain = { ...rest, loader: plainLoader };
  checkPlain(plain, "", problems);
  const interop = parseInterop(asked, options.segments, problems);
  const { consentRequired } = (isPlain(loader) ? loader : {}) as LoaderOptions;
  return {
    json: problems.length ? "{}" : JSON.stringify(plain),
    hooks,
    interop,
    consentRequired: consentRequired === true,
    problems,
  };
}

/** Makes `relayOnly` and the browser's own policy agree: where one says so, both do. */
function withRelays(plain: LoaderOptions, hooks: Hooks, problems: string[]): LoaderOptions {
  const config = hooks.rtcConfig as RTCConfiguration | null | undefined;
  const relayOnly = plain.relayOnly === true || config?.iceTransportPolicy === "relay";
  if (!relayOnly) return plain;
  const servers = Array.isArray(config?.iceServers) ? config.iceServers : [];
  const urls = servers.flatMap((server) => server?.urls ?? []);
  if (!urls.some((url) => /^turns?:/i.test(String(url)))) {
    problems.push(
      refusal(
        "loader.relayOnly",
        true,
        "false where loader.rtcConfig.iceServers names no turn: or turns: server",
      ),
    );
  }
  hooks.rtcConfig = { ...config, iceTransportPolicy: "relay" };
  return { ...plain, relayOnly: true };
}

function parseInterop(
  asked: Options["interop"],
  segments: Options["segments"],
  problems: string[],
): ParsedOptions["interop"] {
  if (!asked) return null;
  const { with: other, version = "v2", ...unknown } = typeof asked === "string" ? { with: asked } : asked;
  if (other !== "p2p-media-loader" || (version !== "v2" && version !== "v3") || Object.keys(unknown).length) {
    const allowed = '"p2p-media-loader", or { with: "p2p-media-loader", version: "v2" or "v3" }';
    problems.push(refusal("interop", typeof asked === "string" ? asked : JSON.stringify(asked), allowed));
    return null;
  }
  if (segments?.swarmSecret) {
    // Swarms of stock viewers are named by the URL alone: the secret would hide nothing.
    problems.push(refusal("interop", other, "absent beside segments.swarmSecret"));
  }
  return { version, swarmId: segments?.swarmId };
}

function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

function checkHooks(hooks: Hooks, problems: string[]): void {
  for (const name of FUNCTIONS) {
    const hook: unknown = hooks[name];
    if (hook !== undefined && typeof hook !== "function") {
      problems.push(refusal(`loader.${name}`, hook, "a function"));
    }
  }
  const storage: unknown = hooks.segmentsStorage;
  if (storage !== undefined) {
    const methods = storage as Record<string, unknown>;
    if (
      typeof storage !== "object" ||
      !storage ||
      STORAGE_METHODS.some((name) => typeof methods[name] !== "function")
    ) {
      problems.push(refusal("loader.segmentsStorage", storage, "an object with store, get and remove"));
    }
  }
  const config: unknown = hooks.rtcConfig;
  if (config !== undefined && (typeof config !== "object" || config === null)) {
    problems.push(refusal("loader.rtcConfig", config, "an RTCConfiguration object"));
  }
}

/** Finds what JSON cannot carry: it would vanish, or arrive as something else. */
function checkPlain(value: unknown, path: string, problems: string[]): void {
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      checkPlain(item === undefined ? null : item, `${path}[${index}]`, problems);
    });
  } else if (isPlain(value)) {
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) checkPlain(item, path ? `${path}.${key}` : key, problems);
    }
  } else if (
    !(
      value === null ||
      typeof value === "string" ||
      typeof value === "boolean" ||
      Number.isFinite(value as number)
    )
  ) {
    problems.push(
      refusal(path || "options", value, "plain data (text, number, true, false, list or object)"),
    );
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // An object of another frame has another Object.prototype, whose own prototype is null all the same.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** "path: value is not allowed; it must be …" */
export function refusal(path: string, value: unknown, allowed: string): string {
  return `${path}: ${show(value)} is not allowed; it must be ${allowed}`;
}

/** A short text for a value of any kind. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null)
    return value.constructor?.name === "Object"
      ? "an object"
      : `a ${value.constructor?.name ?? "bare object"}`;
  return String(value);
}
