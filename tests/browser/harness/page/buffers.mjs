// Records every buffer that is handed to hls.js: which bytes of which URL, and their SHA-256.
//
// The loader's prototype is patched in place, so that the loader class keeps its identity for whoever compares it.

const patched = new WeakSet();
/** On callbacks that record already; it survives a copy with `{ ...callbacks }`, as loaders within loaders make. */
const recorded = Symbol("recorded");

/** Starts recording into `records` what the loader class `Loader` delivers. */
export function recordBuffers(Loader, records) {
  if (!Loader || patched.has(Loader.prototype)) return;
  patched.add(Loader.prototype);
  const load = Loader.prototype.load;
  Loader.prototype.load = function (context, config, callbacks) {
    // Not a segment, or a loader within a loader that is being recorded already.
    if (!context.frag || callbacks[recorded]) return load.call(this, context, config, callbacks);
    const askedAt = performance.now();
    const recording = {
      ...callbacks,
      [recorded]: true,
      onSuccess(response, stats, answered, details) {
        if (response.data instanceof ArrayBuffer) {
          records.push(describe(context, response.data, stats, askedAt));
        }
        callbacks.onSuccess(response, stats, answered, details);
      },
    };
    return load.call(this, context, config, recording);
  };
}

function describe(context, data, stats, askedAt) {
  const { frag } = context;
  const record = {
    url: context.url,
    rangeStart: context.rangeStart ?? 0,
    rangeEnd: context.rangeEnd ?? 0,
    sn: frag.sn,
    type: frag.type,
    level: frag.level,
    start: frag.start,
    duration: frag.duration,
    bytes: data.byteLength,
    waitedMs: performance.now() - askedAt,
    deliveredAtUnixMs: Date.now(),
    loading: stats && { ...stats.loading },
    loaded: stats?.loaded,
    sha256: "",
  };
  // The copy is made now: hls.js hands the buffer on to its worker, which empties it.
  record.done = sha256(data.slice(0)).then((digest) => {
    record.sha256 = digest;
  });
  return record;
}

/** The SHA-256 of a buffer in hexadecimal digits. */
export async function sha256(data) {
  const digest = await crypto.subtle.digest("SHA-256", data);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
