/** What a track is played as. */
export type TrackKind = "main" | "audio";

/** One playlist of a manifest. */
export interface NamedPlaylist {
  kind: TrackKind;
  /** Absolute. */
  url: string;
  /** What tells it from others where the path does not: `BANDWIDTH`, or `LANGUAGE` and `NAME` with a space between. */
  detail: string;
}

/** A URL without its query and fragment: tokens rotate and differ between viewers. */
export function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, "");
}

/**
 * The names of all tracks of a manifest, in the order given, equal for all its viewers: kind and path, relative to
 * the manifest's folder when it lies below it. Hosts and queries differ between viewers of one stream and do not
 * count, but where different playlists would get one name, the detail is appended, and where they still would, the
 * query. As the engine does it for viewers without hls.js (`src/timeline/name.rs`, `tests/vectors/track-names.json`).
 */
export function trackNames(manifestUrl: string, playlists: NamedPlaylist[]): string[] {
  const urls = playlists.map(({ url }) => normal(url).replace(/#.*$/s, ""));
  const folder = pathOf(normal(manifestUrl)).replace(/[^/]*$/, "");
  const suffixes = [
    (index: number) => ` ${playlists[index]?.detail ?? ""}`,
    (index: number) => `?${urls[index]?.split("?").slice(1).join("?") ?? ""}`,
  ];
  let names = playlists.map(({ kind }, index) => {
    const path = pathOf(urls[index] ?? "");
    return `${kind} ${path.startsWith(folder) ? path.slice(folder.length) : path}`;
  });
  for (const suffix of suffixes) {
    const before = names;
    const ambiguous = (name: string, url?: string) =>
      before.some((other, index) => other === name && urls[index] !== url);
    names = before.map((name, index) => (ambiguous(name, urls[index]) ? name + suffix(index) : name));
  }
  return names;
}

function normal(url: string): string {
  try {
    return new URL(url).href;
  } catch {
    return url;
  }
}

function pathOf(url: string): string {
  return withoutQuery(url.replace(/^.*?:\/\//, "")).replace(/^[^/]*/, "") || "/";
}
