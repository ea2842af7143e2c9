// A live packager: publishes the segments of a finished stream one after the other, as a sliding window whose media
// sequence only grows. At the end of the stream it begins again behind a discontinuity.
import path from "node:path";

/**
 * Publishes a live stream on an origin. Every segment has a URL of its own, in each loop anew.
 *
 * @param {Awaited<ReturnType<import("./origin.mjs").startOrigin>>} origin
 * @param {object} options
 * @param {Awaited<ReturnType<import("./media.mjs").makeHls>>} options.stream what to publish
 * @param {string} [options.at] folder on the origin, "/live/" by default
 * @param {number} [options.window] segments in the playlist
 * @param {boolean} [options.event] an EVENT playlist: nothing ever leaves it
 * @param {boolean} [options.loop] begin again at the end (the default), or end the stream there
 * @param {number} [options.firstSequence] media sequence of the first segment
 * @param {() => number} [options.now] clock in milliseconds
 */
export function publishLive(
  origin,
  { stream, at = "/live/", window = 10, event = false, loop = true, firstSequence = 0, now = Date.now },
) {
  const base = at.endsWith("/") ? at : `${at}/`;
  const tracks = new Map(stream.tracks.map((track) => [track.playlist, track]));
  for (const track of stream.tracks) {
    if (track.segments.some((segment) => segment.byteRange)) {
      throw new Error("publishLive: byte ranges cannot be published one by one; take another kind of stream");
    }
  }
  // All tracks turn over with the video, whose segment count may differ from the audio's by a rest at the end.
  const perLoop = Math.min(...stream.tracks.map((track) => track.segments.length));
  const starts = [0];
  for (const { seconds } of stream.tracks[0].segments.slice(0, perLoop))
    starts.push(starts.at(-1) + seconds * 1000);
  const loopMs = starts[perLoop];

  let startedAtMs = now();
  let pausedAtMs;
  let endedAt;
  let jumped = 0;

  /** Milliseconds from the start of the stream to the start of its n-th segment. */
  const startOf = (n) => Math.floor(n / perLoop) * loopMs + starts[n % perLoop];

  /** How many segments have been published. The window is full from the beginning. */
  function published() {
    if (endedAt !== undefined) return endedAt;
    const at = (pausedAtMs ?? now()) - startedAtMs + startOf(window);
    let n = Math.floor(at / loopMs) * perLoop;
    while (startOf(n + 1) <= at) n++;
    n += jumped;
    return loop ? n : Math.min(n, perLoop);
  }

  /** Tags that stand before the n-th segment because a loop or the stream itself has a break there. */
  function breaksAt(track, n) {
    return (n > 0 && n % perLoop === 0) || track.segments[n % perLoop].discontinuity;
  }

  function breaksBefore(track, n) {
    const own = track.segments.slice(0, perLoop).filter((segment) => segment.discontinuity).length;
    const loops = Math.floor(n / perLoop);
    let count = loops * own + Math.max(0, Math.ceil(n / perLoop) - 1);
    for (let i = 0; i < n % perLoop; i++) if (track.segments[i].discontinuity) count++;
    return count;
  }

  function playlist(track) {
    const end = published();
    const over = endedAt !== undefined || (!loop && end >= perLoop);
    const first = event ? 0 : Math.max(0, end - window);
    const longest = Math.max(...track.segments.slice(0, perLoop).map(({ seconds }) => seconds));
    const lines = [
      "#EXTM3U",
      "#EXT-X-VERSION:7",
      `#EXT-X-TARGETDURATION:${Math.ceil(longest)}`,
      `#EXT-X-MEDIA-SEQUENCE:${firstSequence + first}`,
      `#EXT-X-DISCONTINUITY-SEQUENCE:${breaksBefore(track, first)}`,
      "#EXT-X-INDEPENDENT-SEGMENTS",
    ];
    if (event) lines.push("#EXT-X-PLAYLIST-TYPE:EVENT");
    let key;
    let map;
    for (let n = first; n < end; n++) {
      const segment = track.segments[n % perLoop];
      if (breaksAt(track, n)) lines.push("#EXT-X-DISCONTINUITY");
      if (segment.key !== key) lines.push(segment.key ?? "#EXT-X-KEY:METHOD=NONE");
      if (segment.map && segment.map !== map) lines.push(segment.map);
      ({ key, map } = segment);
      lines.push(
        `#EXT-X-PROGRAM-DATE-TIME:${new Date(startedAtMs - startOf(window) + startOf(n)).toISOString()}`,
      );
      lines.push(`#EXTINF:${segment.seconds.toFixed(6)},`, `${n}-${segment.uri}`);
    }
    if (over) lines.push("#EXT-X-ENDLIST");
    return `${lines.join("\n")}\n`;
  }

  const unmount = origin.mount(base, (rest) => {
    const track = tracks.get(rest);
    if (track) return { body: playlist(track), type: "application/vnd.apple.mpegurl" };
    const match = /^(.*\/)?(\d+)-([^/]+)$/.exec(rest);
    if (!match) return { file: path.join(stream.dir, path.posix.normalize(`/${rest}`)) };
    const [, folder = "", n, uri] = match;
    const owner = stream.tracks.find(
      ({ playlist }) => path.posix.dirname(playlist) === path.posix.normalize(folder).replace(/\/$/, ""),
    );
    // A segment exists from the moment when it is published, and for good, as on a CDN with a long memory.
    const real = owner?.segments[Number(n) % perLoop]?.uri === uri && Number(n) < published();
    return real ? { file: path.join(stream.dir, folder, uri) } : undefined;
  });

  return {
    /** The master playlist's URL. */
    url: `${origin.url}${base}${stream.master}`,
    /** The oldest segment's and the newest segment's media sequence. */
    sequence: () => [
      firstSequence + (event ? 0 : Math.max(0, published() - window)),
      firstSequence + published() - 1,
    ],
    /** When a segment was or will be published, in milliseconds of the clock. */
    publishedAtMs: (sequence) =>
      startedAtMs - startOf(window) + startOf(sequence - firstSequence + 1 - jumped),
    /** Puts the first full window at this moment. */
    restart() {
      startedAtMs = now();
      pausedAtMs = undefined;
    },
    /** The playlist stands still. */
    pause() {
      pausedAtMs ??= now();
    },
    /** Goes on where it stopped; with `catchUp`, as if it had never stopped. */
    resume({ catchUp = false } = {}) {
      if (pausedAtMs !== undefined && !catchUp) startedAtMs += now() - pausedAtMs;
      pausedAtMs = undefined;
    },
    /** From now on the oldest segment in the playlist has this number, as when a packager is started again. */
    renumber(sequence) {
      firstSequence = sequence - (event ? 0 : Math.max(0, published() - window));
    },
    /** Publishes so many segments at once. */
    jump(segments) {
      jumped += segments;
    },
    /** The stream is over: the playlists get their end tag. */
    end() {
      endedAt = published();
    },
    stop: unmount,
  };
}
