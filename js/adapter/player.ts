import type Hls from "hls.js";
import type {
  AudioTrackUpdatedData,
  Events,
  LevelDetails,
  LevelPTSUpdatedData,
  LevelUpdatedData,
  ManifestLoadedData,
  ManifestLoadingData,
  MediaAttachedData,
} from "hls.js";
import { PlayheadWatch } from "./playhead.js";
import { type NamedPlaylist, type TrackKind, trackNames } from "./track-name.js";

/** What is needed of a variant stream, parsed or in use. */
interface Variant {
  url: string | string[];
  attrs?: { BANDWIDTH?: unknown; AUDIO?: unknown };
}

/** What is needed of an audio rendition. */
interface Rendition {
  url: string;
  lang?: string;
  name: string;
}

/** A manifest as hls.js has read it. */
export interface ParsedManifest {
  /** The URL that was asked for. */
  requested: string;
  levels: (Variant & { bitrate?: number; videoCodec?: string; width?: number; height?: number })[];
  audioTracks: (Rendition & { groupId?: string; audioCodec?: string; channels?: string; attrs?: unknown })[];
  /** The response: an XMLHttpRequest or a Response. */
  networkDetails?: unknown;
}

/** What a player tells. */
export interface PlayerListener {
  /** The manifest was read; `nameOf` gives the name of the track at a playlist's URL. */
  parsed(manifest: ParsedManifest, nameOf: (kind: TrackKind, url: string) => string): void;
  /** A manifest is to be played. */
  manifest(url: string): void;
  /** A playlist was loaded or refreshed. Bitrate 0 if unknown. */
  playlist(kind: TrackKind, name: string, bitrateBps: number, details: LevelDetails): void;
  /** Parsing showed that a playlist's segments lie elsewhere on the timeline. */
  moved(details: LevelDetails): void;
  /** Where the player is. */
  playhead(positionMs: number, rateMilli: number, bufferedMs: number): void;
  /** It was destroyed. */
  gone(): void;
}

/** Listens to one hls.js instance, whether it is new or has been running. */
export class Player {
  readonly #hls: Hls;
  readonly #listener: PlayerListener;
  readonly #undo: (() => void)[] = [];
  /** The names of the manifest's tracks, by kind and URL. */
  #names = new Map<string, string>();
  #playhead: PlayheadWatch | null = null;

  constructor(hls: Hls, listener: PlayerListener) {
    this.#hls = hls;
    this.#listener = listener;
    // The names are written out because hls.js is not imported: the page brings its own.
    this.#on("hlsManifestLoading", ({ url }: ManifestLoadingData) => {
      this.#names.clear();
      listener.manifest(url);
    });
    this.#on("hlsManifestLoaded", ({ url, levels, audioTracks, networkDetails }: ManifestLoadedData) => {
      this.#setNames(url, levels, audioTracks, networkDetails);
    });
    this.#on("hlsLevelUpdated", ({ level, details }: LevelUpdatedData) => this.#level(level, details));
    this.#on("hlsAudioTrackUpdated", ({ id, groupId, details }: AudioTrackUpdatedData) => {
      const tracks = [...(hls.allAudioTracks ?? []), ...(hls.audioTracks ?? [])];
      const track = tracks.find((track) => track.id === id && track.groupId === groupId);
      if (track) this.#audio(track.url, details);
    });
    this.#on("hlsLevelPtsUpdated", ({ details }: LevelPTSUpdatedData) => listener.moved(details));
    this.#on("hlsMediaAttached", ({ media }: MediaAttachedData) => this.#watch(media));
    this.#on("hlsMediaDetaching", () => this.#watch(null));
    this.#on("hlsDestroying", () => listener.gone());
    if (hls.url) {
      this.#setNames(hls.url, hls.levels ?? [], hls.allAudioTracks ?? hls.audioTracks ?? []);
      listener.manifest(hls.url);
    }
    this.#watch(hls.media);
  }

  /** Tells all that is known, to a listener that knows nothing yet. */
  tell(): void {
    const { levels, audioTracks } = this.#hls;
    levels?.forEach((level, index) => {
      if (level.details) this.#level(index, level.details);
    });
    for (const track of audioTracks ?? []) {
      if (track.details) this.#audio(track.url, track.details);
    }
    this.tellPlayhead();
  }

  /** Tells where the player is. */
  tellPlayhead(): void {
    this.#playhead?.tell();
  }

  /** Stops listening. */
  destroy(): void {
    this.#watch(null);
    for (const undo of this.#undo.splice(0)) undo();
  }

  #level(index: number, details: LevelDetails): void {
    const level = this.#hls.levels?.[index];
    if (!level) return;
    const bitrate = level.averageBitrate || level.bitrate || 0;
    this.#listener.playlist("main", this.#name("main", level.uri), bitrate, details);
  }

  #audio(url: string, details: LevelDetails): void {
    this.#listener.playlist("audio", this.#name("audio", url), 0, details);
  }

  /** All playlists count, also those that this browser cannot play: the names must be those of other viewers. */
  #setNames(
    manifestUrl: string,
    levels: ParsedManifest["levels"],
    audioTracks: ParsedManifest["audioTracks"],
    networkDetails?: unknown,
  ): void {
    const playlists: NamedPlaylist[] = [
      ...levels.flatMap(({ url, attrs }) => {
        const detail = String(attrs?.BANDWIDTH ?? "");
        return [url].flat().map((url) => ({ kind: "main" as const, url, detail }));
      }),
      ...audioTracks
        .filter(({ url }) => url)
        .map(({ url, lang, name }) => ({
          kind: "audio" as const,
          url,
          detail: `${lang ?? ""} ${name}`.trim(),
        })),
    ];
    const names = trackNames(manifestUrl, playlists);
    this.#names = new Map(playlists.map(({ kind, url }, index) => [`${kind} ${url}`, names[index] ?? ""]));
    const requested = this.#hls.url ?? manifestUrl;
    this.#listener.parsed({ requested, levels, audioTracks, networkDetails }, (kind, url) =>
      this.#name(kind, url),
    );
  }

  #name(kind: TrackKind, url: string): string {
    const known = this.#names.get(`${kind} ${url}`);
    return known ?? trackNames(this.#hls.url ?? "", [{ kind, url, detail: "" }]).join();
  }

  #watch(media: HTMLMediaElement | null): void {
    this.#playhead?.destroy();
    this.#playhead = media ? new PlayheadWatch(media, (...where) => this.#listener.playhead(...where)) : null;
  }

  #on<T>(event: `${Events}`, listener: (data: T) => void): void {
    const handler = (_event: unknown, data: T) => listener(data);
    this.#hls.on(event as Events.ERROR, handler as never);
    this.#undo.push(() => this.#hls.off(event as Events.ERROR, handler as never));
  }
}
