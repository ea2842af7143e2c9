/** A snapshot, by `p2p.stats()`. Bytes are those of segments. */
export interface Stats {
  /** `loading`: the engine is on its way. `idle`: no manifest yet. `running`. `failed`: hls.js plays on alone. `destroyed`. */
  state: "loading" | "idle" | "running" | "failed" | "destroyed";
  /** Our peer id in the swarm, once there is one. */
  peerId: string | null;
  /** Received over HTTP. */
  httpBytes: number;
  /** Received from peers. */
  p2pBytes: number;
  /** Sent to peers. */
  uploadedBytes: number;
  /** Received and thrown away: overlaps, cancelled downloads, refused segments. */
  wastedBytes: number;
  /** Loaded by hls.js's own loader: init segments, parts, and what was left to it. */
  bypassedBytes: number;
  /** Peers past their handshake. */
  peers: number;
  peerList: PeerStats[];
  /** Viewers of this manifest, ourselves included, as the trackers tell; 0 if unknown. */
  swarmSize: number;
  cache: { segments: number; bytes: number; budgetBytes: number };
  /** In the order of `loader.trackerAnnounce`. */
  trackers: TrackerStats[];
  /** Segments being downloaded over HTTP. */
  httpDownloads: number;
  /** Segments being downloaded from peers. */
  p2pDownloads: number;
  /** HTTP rate estimate in bits per second; 0 if unknown. */
  httpRateBps: number;
  /** Whether peers are in use. */
  p2pEnabled: boolean;
  /** What was found out about the bytes. */
  integrity: IntegrityStats;
  /** Whether they are not because the page has not said that the user agrees. */
  awaitsConsent: boolean;
  /**
   * Whether peers are served. `reduced`: fewer at a time, as the page is hidden. `metered`: not on this network.
   * `spent`: a bound of the options is reached. `off`: never, by the options.
   */
  uploadState: "on" | "reduced" | "metered" | "spent" | "off";
  /** Bytes that may still be sent to peers; `null` without a bound. Under `uploadRatio` it grows with what is received. */
  uploadLeftBytes: number | null;
}

/** What was found out about the bytes that came. */
export interface IntegrityStats {
  /** What they are held against; `off` also where no tracker is set. */
  mode: "off" | "auto" | "signed";
  /** Segments with a signed record. */
  records: number;
  /** Bytes that were held against a signed record and were right. */
  verifiedBytes: number;
  /** Segments from peers of which a part was fetched from the CDN to be compared. */
  checks: number;
  /** The bytes fetched for that. */
  checkBytes: number;
  /** Segments from peers that were fetched again over HTTP because something spoke against them. */
  disputes: number;
  /** Segments of which wrong bytes had come. */
  refusedSegments: number;
  /** Bytes thrown away because they were wrong or doubted. */
  refusedBytes: number;
}

/** One peer. */
export interface PeerStats {
  peer: string;
  downloadedBytes: number;
  uploadedBytes: number;
  /** Round-trip time; `null` before the first answer. */
  rttMs: number | null;
  /** Segments it says it has. It need not tell of those that we had first. */
  segments: number;
}

/** One tracker. */
export interface TrackerStats {
  url: string;
  state: "idle" | "connecting" | "connected" | "waiting";
  /** Peers with everything, as the tracker counts them. */
  complete: number;
  /** The others. */
  incomplete: number;
}

/** What the engine tells of itself. */
export type EngineStats = Omit<Stats, "state" | "peerId" | "bypassedBytes">;

/** Before there is an engine. */
export const NO_STATS: EngineStats = {
  httpBytes: 0,
  p2pBytes: 0,
  uploadedBytes: 0,
  wastedBytes: 0,
  peers: 0,
  peerList: [],
  swarmSize: 0,
  cache: { segments: 0, bytes: 0, budgetBytes: 0 },
  trackers: [],
  httpDownloads: 0,
  p2pDownloads: 0,
  httpRateBps: 0,
  p2pEnabled: false,
  integrity: {
    mode: "off",
    records: 0,
    verifiedBytes: 0,
    checks: 0,
    checkBytes: 0,
    disputes: 0,
    refusedSegments: 0,
    refusedBytes: 0,
  },
  awaitsConsent: false,
  uploadState: "on",
  uploadLeftBytes: null,
};

/** What engines add to, one after the other. */
const SUMS = ["httpBytes", "p2pBytes", "uploadedBytes", "wastedBytes"] as const;
const INTEGRITY_SUMS = [
  "verifiedBytes",
  "checks",
  "checkBytes",
  "disputes",
  "refusedSegments",
  "refusedBytes",
] as const;

/** What was counted before, plus what the engine that runs now counts; all else is of now. */
export function addTotals(before: EngineStats, now: EngineStats): EngineStats {
  const integrity = { ...now.integrity, ...sums(INTEGRITY_SUMS, before.integrity, now.integrity) };
  return { ...now, ...sums(SUMS, before, now), integrity };
}

function sums<K extends string>(keys: readonly K[], before: Record<K, number>, now: Record<K, number>) {
  return Object.fromEntries(keys.map((key) => [key, before[key] + now[key]])) as Record<K, number>;
}
