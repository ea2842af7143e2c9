/** What a track is played as. */
export type TrackKind = "main" | "audio";

/** A URL without its query and fragment: tokens rotate and differ between viewers. */
export function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, "");
}

/**
 * What names a track, equal for all viewers of a manifest: its kind and its playlist's URL, relative to the
 * manifest's folder when it lies below it, else its path. Neither host nor query counts: both differ between viewers
 * of one stream.
 */
export function trackName(kind: TrackKind, playlistUrl: string, manifestUrl: string): string {
  const playlist = withoutQuery(playlistUrl);
  const manifest = withoutQuery(manifestUrl);
  const folder = manifest.slice(0, manifest.lastIndexOf("/") + 1);
  if (folder && playlist.startsWith(folder)) return `${kind} ${playlist.slice(folder.length)}`;
  return `${kind} ${playlist.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "")}`;
}
