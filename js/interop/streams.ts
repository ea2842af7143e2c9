import type { LevelDetails } from "hls.js";
import type { Shell } from "../../pkg/hlswarm_full.js";
import type { ParsedManifest } from "../adapter/player.js";

/** A stream's properties as p2p-media-loader reads them; the engine makes the swarm's name of them. */
interface Properties {
  bitrate?: number;
  codecs?: string;
  width?: number;
  height?: number;
  language?: string;
  channels?: string;
  name?: string;
  frameRate?: string;
  videoRange?: string;
}

type Attributes = Record<string, unknown>;

const AUDIO_CODEC = /^(mp4a|flac|vorbis|opus|ac-[34]|ec-3|alac|mp3|speex|aac)/i;
const TEXT_CODEC = /^(stpp|wvtt)/i;

/**
 * Tells the engine the streams of a manifest.
 *
 * @param version - "v2" for p2p-media-loader 2.3 to 4.x, "v3" for 5.x.
 * @param swarmIdOf - The swarm id of a manifest at a URL.
 * @param trackOf - The engine's id of the track at a playlist URL.
 */
export function tellStreams(
  shell: unknown,
  version: "v2" | "v3",
  swarmIdOf: (url: string) => string,
  manifest: ParsedManifest,
  trackOf: (kind: "main" | "audio", url: string) => string,
): void {
  const name = swarmIdOf(version === "v2" ? responseUrl(manifest) : manifest.requested);
  const streams = [...mainStreams(version, manifest), ...audioStreams(version, manifest)];
  const seen = new Set<string>();
  const told = streams.flatMap(({ kind, url, properties }) => {
    // Where several variants share a playlist, the first names it.
    if (!url || seen.has(url)) return [];
    seen.add(url);
    return [[trackOf(kind, url), kind === "audio", properties] as const];
  });
  (shell as Shell).stockStreams(version === "v3", name, JSON.stringify(told));
}

/** Tells the engine how the segments of a track are counted. */
export function tellPlaylist(
  shell: unknown,
  version: "v2" | "v3",
  track: string,
  { live, startSN, fragments }: LevelDetails,
): void {
  const counted = version === "v2" && !live;
  (shell as Shell).stockPlaylist(track, startSN, counted ? fragments.length : 0);
}

function mainStreams(version: "v2" | "v3", { levels }: ParsedManifest) {
  return levels.map((level) => {
    const attrs = (level.attrs ?? {}) as Attributes;
    const [width, height] = text(attrs.RESOLUTION)?.split("x").map(Number) ?? [];
    const properties: Properties =
      version === "v2"
        ? { bitrate: level.bitrate || 0, codecs: level.videoCodec }
        : { bitrate: Number(attrs.BANDWIDTH) || 0, codecs: codecs(attrs.CODECS, false) };
    Object.assign(properties, {
      width: width || level.width || undefined,
      height: height || level.height || undefined,
      frameRate: text(attrs["FRAME-RATE"]),
      videoRange: text(attrs["VIDEO-RANGE"]),
    });
    const [url = ""] = [level.url].flat();
    return { kind: "main" as const, url, properties };
  });
}

function audioStreams(version: "v2" | "v3", { levels, audioTracks }: ParsedManifest) {
  return audioTracks.map((track) => {
    const attrs = (track.attrs ?? {}) as Attributes;
    const ofGroup = levels.find((level) => level.attrs?.AUDIO === track.groupId)?.attrs as Attributes;
    const properties: Properties =
      version === "v2"
        ? {
            codecs: track.audioCodec,
            language: track.lang,
            channels: text(track.channels),
            name: track.name?.toLowerCase(),
          }
        : {
            codecs: codecs(ofGroup?.CODECS, true),
            language: text(attrs.LANGUAGE),
            channels: text(attrs.CHANNELS),
            name: text(attrs.NAME) ?? track.name,
          };
    return { kind: "audio" as const, url: track.url, properties };
  });
}

function codecs(list: unknown, audio: boolean): string | undefined {
  const all = text(list)?.split(",") ?? [];
  const wanted = all
    .map((codec) => codec.trim())
    .filter((codec) => AUDIO_CODEC.test(codec) === audio && !TEXT_CODEC.test(codec));
  return wanted.length ? wanted.join(",") : undefined;
}

function text(value: unknown): string | undefined {
  return value === undefined || value === null || value === "" ? undefined : String(value);
}

/** Where the manifest came from, redirects followed. */
function responseUrl({ requested, networkDetails }: ParsedManifest): string {
  const details = networkDetails as { responseURL?: string; url?: string } | undefined;
  return details?.responseURL || details?.url || requested;
}
