// Makes HLS streams with ffmpeg, once for each set of parameters, into `.cache/media`.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseMedia } from "./m3u8.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** Raise when what is made changes, so that nobody plays from an old cache. */
const recipe = 1;

/** `baseline` at level 3.1, and AAC-LC. */
const videoCodec = "avc1.42c01f";
const audioCodec = "mp4a.40.2";

/** The kinds of stream that `makeHls` knows. */
export const kinds = ["ts", "fmp4", "byterange", "aes", "audio", "discontinuity"];

/**
 * Makes a VOD stream, or finds it in the cache.
 *
 * - `ts`: MPEG-TS segments; `fmp4`: fragmented MP4 with init segments.
 * - `byterange`: one file per rendition, segments as `EXT-X-BYTERANGE`.
 * - `aes`: MPEG-TS, AES-128 with one key and an IV that stands in the playlist.
 * - `audio`: video renditions without sound and two audio renditions.
 * - `discontinuity`: two clips whose timestamps both begin at zero, half the segments each.
 *
 * @param {object} options
 * @param {string} [options.kind] one of `kinds`
 * @param {number} [options.segments] how many
 * @param {number} [options.segmentSeconds]
 * @param {{ height: number, kbps: number }[]} [options.renditions] lowest first; kbps is the constant rate of the video
 * @param {number} [options.fps]
 * @param {string} [options.segmentType] "ts" or "fmp4", for the kinds that leave it open (`byterange`, `audio`,
 *   `discontinuity`)
 * @returns {Promise<{ dir: string, master: string, kind: string, segmentSeconds: number, tracks: Track[] }>} `master`
 *   and the playlists of the tracks are paths inside `dir`
 *
 * @typedef {{ name: string, type: "main" | "audio", playlist: string, segments: object[] }} Track
 */
export async function makeHls({
  kind = "ts",
  segments = 8,
  segmentSeconds = 2,
  renditions = [
    { height: 180, kbps: 500 },
    { height: 288, kbps: 1200 },
  ],
  fps = 25,
  segmentType = kind === "fmp4" ? "fmp4" : "ts",
} = {}) {
  if (!kinds.includes(kind)) throw new Error(`makeHls: kind ${kind} is not one of ${kinds.join(", ")}`);
  const parameters = { recipe, kind, segments, segmentSeconds, renditions, fps, segmentType };
  const id = createHash("sha256").update(JSON.stringify(parameters)).digest("hex").slice(0, 12);
  const dir = path.join(root, ".cache", "media", `${kind}-${segments}x${segmentSeconds}s-${id}`);
  if (!existsSync(dir)) {
    // Made aside and renamed when whole: an interrupted run leaves nothing that looks done.
    const draft = `${dir}.${process.pid}-${randomBytes(4).toString("hex")}`;
    await mkdir(draft, { recursive: true });
    try {
      await make(draft, parameters);
      await rename(draft, dir).catch((error) => {
        // Another process made the same stream meanwhile.
        if (!existsSync(dir)) throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  const { tracks } = JSON.parse(await readFile(path.join(dir, "stream.json"), "utf8"));
  for (const track of tracks)
    track.segments = parseMedia(await readFile(path.join(dir, track.playlist), "utf8")).segments;
  return { dir, master: "master.m3u8", kind, segmentSeconds, tracks };
}

async function make(dir, parameters) {
  const { kind, segments, renditions } = parameters;
  const videos = renditions.map(({ height, kbps }) => ({
    name: `${height}p`,
    type: "main",
    playlist: `${height}p/index.m3u8`,
    height,
    width: Math.round((height * 16) / 9 / 2) * 2,
    kbps,
    tone: kind === "audio" ? undefined : 440,
  }));
  const audios =
    kind !== "audio"
      ? []
      : [
          { name: "English", type: "audio", language: "en", playlist: "audio-en/index.m3u8", tone: 440 },
          { name: "Deutsch", type: "audio", language: "de", playlist: "audio-de/index.m3u8", tone: 660 },
        ];
  const tracks = [...videos, ...audios];
  if (kind === "aes") {
    await writeFile(path.join(dir, "content.key"), createHash("md5").update("hlswarm sample key").digest());
    const iv = createHash("md5").update("hlswarm sample iv").digest("hex");
    await writeFile(path.join(dir, "key-info"), `../content.key\n${path.join(dir, "content.key")}\n${iv}\n`);
  }
  for (const track of tracks) await mkdir(path.join(dir, path.dirname(track.playlist)), { recursive: true });
  if (kind === "discontinuity") {
    const half = Math.ceil(segments / 2);
    await encode(dir, tracks, { ...parameters, segments: half, source: "testsrc2", clip: "a" });
    await encode(dir, tracks, { ...parameters, segments: segments - half, source: "smptehdbars", clip: "b" });
    for (const track of tracks) await join(dir, track);
  } else {
    await encode(dir, tracks, { ...parameters, source: "testsrc2", clip: "" });
  }
  await rm(path.join(dir, "key-info"), { force: true });
  await writeFile(path.join(dir, "master.m3u8"), masterPlaylist(videos, audios));
  const plain = tracks.map(({ name, type, playlist }) => ({ name, type, playlist }));
  await writeFile(path.join(dir, "stream.json"), JSON.stringify({ tracks: plain }, null, 2));
}

/** One ffmpeg for all tracks. The key frames of all renditions stand at the same times, so that switches are clean. */
async function encode(dir, tracks, { kind, segments, segmentSeconds, fps, segmentType, source, clip }) {
  const seconds = segments * segmentSeconds;
  const largest = Math.max(...tracks.map((track) => track.height ?? 0));
  const inputs = [
    "-f",
    "lavfi",
    "-i",
    `${source}=size=${Math.round((largest * 16) / 9 / 2) * 2}x${largest}:rate=${fps}`,
  ];
  const tones = [...new Set(tracks.map((track) => track.tone).filter(Boolean))];
  for (const tone of tones)
    inputs.push("-f", "lavfi", "-i", `sine=frequency=${clip === "b" ? tone * 1.5 : tone}:sample_rate=48000`);
  const frames = fps * segmentSeconds;
  const outputs = tracks.flatMap((track) => {
    const folder = path.join(dir, path.dirname(track.playlist));
    const args = [];
    if (track.height) {
      args.push("-map", "0:v", "-vf", `scale=${track.width}:${track.height}:flags=bilinear,format=yuv420p`);
      args.push("-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-level:v", "3.1");
      args.push(
        "-b:v",
        `${track.kbps}k`,
        "-minrate",
        `${track.kbps}k`,
        "-maxrate",
        `${track.kbps}k`,
        "-bufsize",
        `${track.kbps}k`,
      );
      args.push("-x264-params", `nal-hrd=cbr:keyint=${frames}:min-keyint=${frames}:scenecut=0:threads=1`);
    }
    if (track.tone)
      args.push("-map", `${1 + tones.indexOf(track.tone)}:a`, "-c:a", "aac", "-b:a", "64k", "-ac", "2");
    const single = kind === "byterange" ? "single_file+" : "";
    const ending = segmentType === "fmp4" ? "m4s" : "ts";
    args.push("-t", `${seconds}`, "-f", "hls", "-hls_time", `${segmentSeconds}`, "-hls_list_size", "0");
    args.push("-hls_playlist_type", "vod", "-hls_flags", `${single}independent_segments`);
    args.push("-hls_segment_type", segmentType === "fmp4" ? "fmp4" : "mpegts");
    if (segmentType === "fmp4") args.push("-hls_fmp4_init_filename", `init${clip}.mp4`);
    if (kind === "aes") args.push("-hls_key_info_file", path.join(dir, "key-info"));
    args.push(
      "-hls_segment_filename",
      path.join(folder, single ? `all${clip}.${ending}` : `${clip}%05d.${ending}`),
    );
    return [...args, path.join(folder, `index${clip}.m3u8`)];
  });
  await ffmpeg(["-y", ...inputs, ...outputs]);
}

/** Puts the two clips of a track one after the other. */
async function join(dir, track) {
  const file = path.join(dir, track.playlist);
  const [first, second] = ["a", "b"].map((clip) => file.replace(/index\.m3u8$/, `index${clip}.m3u8`));
  const head = (await readFile(first, "utf8")).replace("#EXT-X-ENDLIST\n", "");
  const tail = await readFile(second, "utf8");
  // From the first tag that belongs to a segment; an init segment of its own comes along.
  const begins = tail.search(/#EXT-X-MAP|#EXTINF/);
  await writeFile(file, `${head}#EXT-X-DISCONTINUITY\n${tail.slice(begins)}`);
  await rm(first);
  await rm(second);
}

function masterPlaylist(videos, audios) {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"];
  for (const [i, { name, language, playlist }] of audios.entries()) {
    const first = i === 0 ? "YES" : "NO";
    lines.push(
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="${name}",LANGUAGE="${language}",DEFAULT=${first},AUTOSELECT=YES,URI="${playlist}"`,
    );
  }
  for (const { width, height, kbps, playlist } of videos) {
    const bandwidth = Math.round((kbps + 64) * 1000 * 1.1);
    const group = audios.length ? ',AUDIO="sound"' : "";
    lines.push(
      `#EXT-X-STREAM-INF:BANDWIDTH=${bandwidth},RESOLUTION=${width}x${height},CODECS="${videoCodec},${audioCodec}"${group}`,
      playlist,
    );
  }
  return `${lines.join("\n")}\n`;
}

/** The ffmpeg to use: the variable FFMPEG, else the one on the path. */
export function ffmpegPath() {
  return process.env.FFMPEG || "ffmpeg";
}

function ffmpeg(args) {
  return new Promise((done, fail) => {
    const child = spawn(ffmpegPath(), ["-hide_banner", "-loglevel", "error", "-nostdin", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.on("data", (text) => {
      errors = (errors + text).slice(-4000);
    });
    child.on("error", (error) => {
      fail(
        new Error(
          `cannot run ${ffmpegPath()} (${error.code}): run \`npm run setup\`, or name one in the variable FFMPEG`,
        ),
      );
    });
    child.on("exit", (code) =>
      code === 0 ? done() : fail(new Error(`ffmpeg failed (${code}): ${errors.trim()}`)),
    );
    // Encoding in the background must not starve what is being measured or played.
    if (child.pid) os.setPriority(child.pid, 5);
  });
}
