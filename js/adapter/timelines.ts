import type { Fragment, LevelDetails, MediaFragment } from "hls.js";
import type { TrackKind } from "./track-name.js";

/** One playlist as the engine takes it. */
export interface TimelineUpdate {
  /** The track's id. */
  track: string;
  audio: boolean;
  live: boolean;
  /** 0 if unknown. */
  bitrateBps: number;
  /** Six numbers a segment: discontinuity, sequence, start ms, duration ms, range start, range end or -1. */
  numbers: Float64Array;
  urls: string[];
}

/** A playlist that hls.js has loaded. */
export interface Playlist {
  /** The track's id. */
  track: string;
  kind: TrackKind;
  /** 0 if unknown. */
  bitrateBps: number;
  details: LevelDetails;
}

/** Beyond this a segment's place on the timeline counts as moved, in seconds. */
const MOVED_S = 0.1;

/** What hls.js knows of the segments, and what we know of its fragments. */
export class Timelines {
  readonly #playlists = new Map<string, Playlist>();
  readonly #tracks = new WeakMap<Fragment, string>();
  /** Start of the first and the last segment as last told, by track. */
  readonly #told = new Map<string, [number, number]>();

  /** Takes a playlist that was loaded or refreshed. */
  update(playlist: Playlist): TimelineUpdate {
    this.#playlists.set(playlist.track, playlist);
    return this.#tell(playlist);
  }

  /** The same playlist, when parsing showed that its segments lie elsewhere on the timeline. */
  moved(details: LevelDetails): TimelineUpdate | null {
    for (const playlist of this.#playlists.values()) {
      if (playlist.details !== details) continue;
      const [first, last] = this.#told.get(playlist.track) ?? [0, 0];
      const [nowFirst, nowLast] = ends(details);
      const moved = Math.abs(nowFirst - first) > MOVED_S || Math.abs(nowLast - last) > MOVED_S;
      return moved ? this.#tell(playlist) : null;
    }
    return null;
  }

  /** All playlists, for an engine that knows none. */
  all(): TimelineUpdate[] {
    return [...this.#playlists.values()].map((playlist) => this.#tell(playlist));
  }

  /** The id of the track that a fragment belongs to, if the engine was told of it. */
  trackOf(fragment: Fragment): string | undefined {
    return this.#tracks.get(fragment);
  }

  /** The fragment that a segment key (`track/discontinuity/sequence`) names, if it is still listed. */
  find(key: string): MediaFragment | undefined {
    const [track = "", discontinuity, sequence] = key.split("/");
    const details = this.#playlists.get(track)?.details;
    const fragment = details?.fragments[Number(sequence) - details.startSN];
    const named = (candidate?: MediaFragment) =>
      candidate?.sn === Number(sequence) && candidate.cc === Number(discontinuity);
    return named(fragment) ? fragment : details?.fragments.find(named);
  }

  /** Forgets everything: another manifest. */
  clear(): void {
    this.#playlists.clear();
    this.#told.clear();
  }

  #tell({ track, kind, bitrateBps, details }: Playlist): TimelineUpdate {
    // A gap is never loaded: to the engine it does not exist.
    const segments = details.fragments.filter((fragment) => isSegment(fragment) && !fragment.gap);
    const numbers = new Float64Array(segments.length * 6);
    const urls = segments.map((segment, index) => {
      const range = byteRangeOf(segment);
      const { cc, sn, start, duration } = segment;
      numbers.set([cc, sn, start * 1000, duration * 1000, range?.start ?? 0, range?.end ?? -1], index * 6);
      this.#tracks.set(segment, track);
      return segment.url;
    });
    this.#told.set(track, ends(details));
    return { track, audio: kind === "audio", live: details.live, bitrateBps, numbers, urls };
  }
}

function isSegment(fragment: MediaFragment): boolean {
  return Number.isSafeInteger(fragment.sn) && fragment.sn >= 0 && Number.isFinite(fragment.duration);
}

function ends(details: LevelDetails): [number, number] {
  const { fragments } = details;
  return [fragments[0]?.start ?? 0, fragments[fragments.length - 1]?.start ?? 0];
}

/** The part of a resource that a fragment is, `end` exclusive. */
export function byteRangeOf(fragment: Fragment): { start: number; end: number } | undefined {
  const [start, end] = fragment.byteRange;
  return start !== undefined && end !== undefined && end > start ? { start, end } : undefined;
}
