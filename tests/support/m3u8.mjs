// As much of a media playlist as the sample streams and the live packager need.

/**
 * Reads a media playlist.
 *
 * @returns {{ targetSeconds: number, segments: Segment[] }}
 * @typedef {{ uri: string, seconds: number, byteRange?: { start: number, end: number }, key?: string, map?: string,
 *   discontinuity: boolean }} Segment `key` and `map` are the whole tag that is in force; byte ranges are `[start, end)`
 */
export function parseMedia(text) {
  const segments = [];
  let targetSeconds = 0;
  let seconds = 0;
  let discontinuity = false;
  let key;
  let map;
  let range;
  let rangeEnd = 0;
  for (const line of text.split(/\r?\n/)) {
    const [, tag, value = ""] = /^(#EXT[^:]*)(?::(.*))?$/.exec(line) ?? [];
    if (tag === "#EXT-X-TARGETDURATION") targetSeconds = Number(value);
    else if (tag === "#EXTINF") seconds = Number.parseFloat(value);
    else if (tag === "#EXT-X-DISCONTINUITY") discontinuity = true;
    else if (tag === "#EXT-X-KEY") key = value.startsWith("METHOD=NONE") ? undefined : line;
    else if (tag === "#EXT-X-MAP") map = line;
    else if (tag === "#EXT-X-BYTERANGE") {
      const [length, start] = value.split("@").map(Number);
      const from = start ?? rangeEnd;
      rangeEnd = from + length;
      range = { start: from, end: rangeEnd };
    } else if (line && !line.startsWith("#")) {
      segments.push({ uri: line, seconds, byteRange: range, key, map, discontinuity });
      discontinuity = false;
      range = undefined;
    }
  }
  return { targetSeconds, segments };
}
