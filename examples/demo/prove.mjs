// With ?prove in the address the page keeps a record of every buffer that the player is given, for
// `npm start -- --headless`.
import Hls from "hls.js";

const record = { buffers: [], errors: [], startedAt: 0, startupMs: undefined };
window.proof = record;

addEventListener("error", (event) => record.errors.push(event.message));
addEventListener("unhandledrejection", (event) =>
  record.errors.push(String(event.reason?.stack ?? event.reason)),
);

addEventListener("demo-start", () => {
  record.startedAt = performance.now();
  window.demo.video.addEventListener("playing", () => {
    record.startupMs ??= performance.now() - record.startedAt;
  });
  window.demo.hls.on(Hls.Events.FRAG_LOADED, (_, { frag, payload }) => {
    // The digest takes its copy at once; after this call the player may give the buffer to its worker.
    const digest = crypto.subtle.digest("SHA-256", payload);
    // The player's own reading of EXT-X-BYTERANGE; an end of 0 is the end of the file.
    const [rangeStart = 0, rangeEnd = 0] = frag.byteRange;
    record.buffers.push(
      digest.then((sha256) => ({
        url: frag.url,
        sn: frag.sn,
        rangeStart,
        rangeEnd,
        bytes: payload.byteLength,
        sha256: [...new Uint8Array(sha256)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      })),
    );
  });
});

record.report = async () => ({
  buffers: await Promise.all(record.buffers),
  errors: record.errors,
  startupMs: record.startupMs,
  stalls: window.demo.stalls(),
  position: window.demo.video.currentTime,
  stats: window.demo.p2p.stats(),
});
