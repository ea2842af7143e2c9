import { type Hooks, type Options, show } from "./options.js";

/** What became of a configuration of p2p-media-loader. */
export interface Migration {
  /** For `attachP2P`. */
  options: Options;
  /** What was left out or means something else here, a line each: `name: why`. */
  notes: string[];
}

/** What the configuration itself does not say. */
export interface MigrationHints {
  /** How long a segment is, in seconds: p2p-media-loader's windows are seconds, priorities here are segments. Default 4. */
  segmentSeconds?: number;
}

type Settings = Record<string, unknown>;
type Loader = NonNullable<Options["loader"]>;
interface Range {
  start: number;
  end: number;
}
type Validate = (url: string, byteRange: Range | undefined, data: ArrayBuffer) => Promise<boolean>;
type Setup = (
  url: string,
  byteRange: Range | undefined,
  signal: AbortSignal,
  requested: { start: number; end?: number } | undefined,
) => Promise<Request | undefined | null>;

const MIB = 1024 * 1024;
const MOST_SEGMENTS = 10_000;

/** What has no counterpart, and why that does no harm. */
const WITHOUT: Record<string, string> = {
  p2pNotReceivingBytesTimeoutMs:
    "none; downloads from peers are judged by their rate and by when the player needs the segment (limits.minReceiveBytesPerSecond)",
  p2pErrorRetries: "none; a peer that fails is left alone for that segment, another one or HTTP takes over",
  httpErrorRetries: "none; hls.js's fragLoadPolicy decides about retries",
  p2pInactiveLoaderDestroyTimeoutMs:
    "none; one swarm carries all renditions, so that a switch keeps its peers",
  trackerClientVersionPrefix: "none; peer ids begin with -HS",
  customSegmentStorageFactory:
    "a storage of another kind: loader.segmentsStorage keeps segments beyond memory",
};

/**
 * Turns a configuration of p2p-media-loader 2.x into options of hlswarm. Only what is set is carried over: defaults differ,
 * and those of either library fit its own way of scheduling.
 *
 * @param config - The `core` settings, or an object with them under `core`, as `HlsJsP2PEngine` takes it.
 * @throws TypeError if `config` is no object or `segmentSeconds` no positive number.
 */
export function fromP2PMediaLoader(config: object, { segmentSeconds = 4 }: MigrationHints = {}): Migration {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new TypeError(`fromP2PMediaLoader: config is ${show(config)}; it must be an object`);
  if (!(segmentSeconds > 0) || !Number.isFinite(segmentSeconds))
    throw new TypeError(
      `fromP2PMediaLoader: segmentSeconds is ${show(segmentSeconds)}; it must be a number above 0`,
    );
  const { core = config, ...beside } = config as { core?: Settings };
  const notes: string[] = [];
  const note = (name: string, why: string) => notes.push(`${name}: ${why}`);
  if (core !== config) {
    for (const name of Object.keys(beside)) note(name, `not of the core; see docs/migration.md`);
  }
  const settings = mergeStreams(core as Settings, note);
  const loader: Loader & Hooks = {};
  const segments: NonNullable<Options["segments"]> = {};
  const windows: number[] = [];

  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue;
    const number = (low: number, high = Number.MAX_SAFE_INTEGER) => {
      const whole = Math.round(Number(value));
      if (!Number.isFinite(whole)) {
        note(name, `${show(value)} is no number`);
        return undefined;
      }
      const kept = Math.min(Math.max(whole, low), high);
      if (kept !== whole) note(name, `${whole} is out of bounds here; ${kept} is taken`);
      return kept;
    };
    const inSegments = () => {
      const count = Math.min(Math.ceil(Number(value) / segmentSeconds), MOST_SEGMENTS);
      if (Number.isFinite(count)) return Math.max(count, 0);
      note(name, `${show(value)} is no number of seconds`);
      return undefined;
    };
    switch (name) {
      case "swarmId":
        segments.swarmId = String(value);
        break;
      case "announceTrackers":
        loader.trackerAnnounce = [...(value as string[])];
        break;
      case "rtcConfig":
        loader.rtcConfig = value as RTCConfiguration;
        break;
      case "isP2PDisabled":
        loader.useP2P = !value;
        break;
      case "isP2PUploadDisabled":
        loader.consumeOnly = !!value;
        break;
      case "simultaneousHttpDownloads":
        loader.simultaneousHttpDownloads = number(1, 64);
        break;
      case "simultaneousP2PDownloads":
        loader.simultaneousP2PDownloads = number(0, 256);
        break;
      case "httpDownloadInitialTimeoutMs":
        loader.httpDownloadInitialTimeout = number(0, 3_600_000);
        break;
      case "httpNotReceivingBytesTimeoutMs":
        loader.httpTimeoutMs = loader.httpStallTimeoutMs = number(100, 600_000);
        break;
      case "webRtcMaxMessageSize":
        loader.webRtcMaxMessageSize = number(2048, 262_144);
        break;
      case "segmentMemoryStorageLimit": {
        const bytes = Number(value) * MIB;
        loader.cacheBytes = Math.min(Math.max(Math.round(bytes) || 65_536, 65_536), 16_384 * MIB);
        // There is no bound on their number over there.
        loader.cachedSegmentsCount = MOST_SEGMENTS;
        break;
      }
      case "highDemandTimeWindow":
        loader.requiredSegmentsPriority = inSegments();
        break;
      case "httpDownloadTimeWindow":
        loader.httpDownloadMaxPriority = inSegments();
        windows.push(loader.httpDownloadMaxPriority ?? 0);
        break;
      case "p2pDownloadTimeWindow":
        loader.p2pDownloadMaxPriority = inSegments();
        windows.push(loader.p2pDownloadMaxPriority ?? 0);
        break;
      case "validateP2PSegment":
      case "validateHTTPSegment":
        loader.segmentValidator = validator(settings);
        break;
      case "httpRequestSetup":
        loader.requestSetup = requestSetup(value as Setup);
        break;
      default:
        note(name, WITHOUT[name] ?? "not known");
    }
  }
  if (windows.length) segments.forwardSegmentCount = Math.min(Math.max(...windows) + 1, MOST_SEGMENTS);
  if (settings.announceTrackers === undefined)
    note(
      "announceTrackers",
      "not set, which means public trackers over there and none here; name the ones that you use",
    );
  if (settings.rtcConfig === undefined)
    note("rtcConfig", "not set, which means public STUN servers over there and none here");
  const options: Options = { loader };
  if (Object.keys(segments).length) options.segments = segments;
  return { options, notes };
}

/** There are no options by kind of stream here: what is said of the main stream counts. */
function mergeStreams(core: Settings, note: (name: string, why: string) => void): Settings {
  const {
    mainStream = {},
    secondaryStream = {},
    ...common
  } = core as {
    mainStream?: Settings;
    secondaryStream?: Settings;
  } & Settings;
  const merged: Settings = { ...common, ...mainStream };
  for (const [name, value] of Object.entries(secondaryStream)) {
    if (value !== merged[name])
      note(`secondaryStream.${name}`, "none; options hold for all tracks, and those of mainStream are taken");
  }
  return merged;
}

/** Their ranges include their last byte. */
const inclusive = (range: Range | undefined) => range && { start: range.start, end: range.end - 1 };

function validator({ validateP2PSegment, validateHTTPSegment }: Settings): Hooks["segmentValidator"] {
  return async ({ url, byteRange, fromPeers }, data) => {
    const validate = (fromPeers ? validateP2PSegment : validateHTTPSegment) as Validate | undefined;
    return validate ? await validate(url, inclusive(byteRange), data) : true;
  };
}

function requestSetup(setUp: Setup): NonNullable<Hooks["requestSetup"]> {
  return async (url, init) => {
    const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(new Headers(init.headers).get("Range") ?? "") ?? [];
    const requested = start ? { start: Number(start), end: end ? Number(end) : undefined } : undefined;
    // Whether a range is the segment's own or only what is missing of it is not told here.
    const whole = requested?.end === undefined ? undefined : { start: requested.start, end: requested.end };
    const signal = init.signal ?? new AbortController().signal;
    return (await setUp(url, whole, signal, requested)) ?? undefined;
  };
}
