// A web server for HLS files: byte ranges, CORS, counters for every byte that leaves it, shaped rates, and faults on
// demand. The demo, the browser tests and the benchmark share it.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const types = {
  ".m3u8": "application/vnd.apple.mpegurl",
  ".ts": "video/mp2t",
  ".m4s": "video/iso.segment",
  ".mp4": "video/mp4",
  ".aac": "audio/aac",
  ".vtt": "text/vtt",
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

const corsHeaders = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
  "Access-Control-Allow-Headers": "*",
  "Access-Control-Expose-Headers": "Content-Length, Content-Range",
  "Timing-Allow-Origin": "*",
};

const chunkBytes = 64 * 1024;

/**
 * Starts an origin.
 *
 * @param {object} options
 * @param {string} options.dir folder whose files are served
 * @param {number} [options.port] 0, the default, takes a free one
 * @param {string} [options.host] address to listen on, 127.0.0.1 by default
 * @param {number} [options.latencyMs] delay before each answer
 * @param {number} [options.bytesPerSecond] rate of all answers together; none by default
 */
export async function startOrigin({
  dir,
  port = 0,
  host = "127.0.0.1",
  latencyMs = 0,
  bytesPerSecond = Infinity,
}) {
  const folder = path.resolve(dir);
  const shape = { latencyMs, bytesPerSecond, freeAtMs: 0 };
  const mounts = new Map();
  const faults = new Set();
  const sockets = new Set();
  const log = [];

  /** What a path stands for: `{ file }`, `{ body, type }`, or undefined. */
  function resolve(pathname) {
    for (const [prefix, find] of mounts) {
      if (pathname === prefix || (prefix.endsWith("/") && pathname.startsWith(prefix))) {
        return find(pathname.slice(prefix.length));
      }
    }
    return fileIn(folder, pathname.slice(1));
  }

  async function open(pathname) {
    const found = resolve(pathname);
    if (!found) return undefined;
    if (found.body !== undefined) {
      const bytes = Buffer.from(found.body);
      return {
        size: bytes.length,
        type: found.type ?? typeOf(pathname),
        read: (from, to) => [bytes.subarray(from, to)],
      };
    }
    const info = await stat(found.file).catch(() => undefined);
    if (!info?.isFile()) return undefined;
    return {
      size: info.size,
      type: typeOf(found.file),
      read: (start, end) =>
        start === end ? [] : createReadStream(found.file, { start, end: end - 1, highWaterMark: chunkBytes }),
    };
  }

  /** The first fault that fits; one with a count wears off. */
  function faultFor(pathname, request) {
    for (const rule of faults) {
      if (rule.rangeOnly && !request.headers.range) continue;
      if (!rule.fits(pathname, request)) continue;
      if (--rule.times === 0) faults.delete(rule);
      return rule;
    }
    return undefined;
  }

  async function pace(bytes, ownBytesPerSecond) {
    let untilMs = 0;
    const nowMs = performance.now();
    if (shape.bytesPerSecond !== Infinity) {
      shape.freeAtMs = Math.max(nowMs, shape.freeAtMs) + (bytes / shape.bytesPerSecond) * 1000;
      untilMs = shape.freeAtMs;
    }
    if (ownBytesPerSecond) untilMs = Math.max(untilMs, nowMs + (bytes / ownBytesPerSecond) * 1000);
    if (untilMs > nowMs) await sleep(untilMs - nowMs);
  }

  async function answer(request, response) {
    const pathname = decodeURIComponent(new URL(request.url, "http://origin").pathname);
    const headers = { ...corsHeaders, "Cache-Control": "no-store" };
    if (request.method === "OPTIONS") {
      const fault = [...faults].find((rule) => rule.noCors && rule.fits(pathname, request));
      response
        .writeHead(fault ? 403 : 204, fault ? {} : { ...headers, "Access-Control-Max-Age": "600" })
        .end();
      return;
    }
    const entry = {
      path: pathname,
      viewer: request.headers["user-agent"] ?? "",
      range: request.headers.range,
      status: 0,
      start: 0,
      sent: 0,
      at: Date.now(),
    };
    log.push(entry);
    const fault = faultFor(pathname, request) ?? {};
    if (shape.latencyMs || fault.latencyMs) await sleep(shape.latencyMs + (fault.latencyMs ?? 0));
    if (fault.hang) return;
    if (fault.noCors) for (const name of Object.keys(corsHeaders)) delete headers[name];
    const finish = (status, more = {}) => {
      entry.status = status;
      response.writeHead(status, { ...headers, ...more }).end();
    };
    if (fault.status) return finish(fault.status);
    if (request.method !== "GET" && request.method !== "HEAD")
      return finish(405, { Allow: "GET, HEAD, OPTIONS" });

    const file = await open(pathname);
    if (!file) return finish(404);
    const range = fault.noRange ? undefined : parseRange(request.headers.range, file.size);
    if (range === null) return finish(416, { "Content-Range": `bytes */${file.size}` });
    const [from, to] = range ?? [0, file.size];
    entry.start = from;
    entry.status = range ? 206 : 200;
    const declared = fault.truncateBytes === undefined ? to - from : Math.min(to - from, fault.truncateBytes);
    response.writeHead(entry.status, {
      ...headers,
      ...(fault.noRange ? {} : { "Accept-Ranges": "bytes" }),
      ...(range ? { "Content-Range": `bytes ${from}-${to - 1}/${file.size}` } : {}),
      ...(fault.chunked ? {} : { "Content-Length": declared }),
      "Content-Type": file.type,
    });
    if (request.method === "HEAD") return void response.end();

    const stopAt = Math.min(declared, fault.resetAfterBytes ?? Infinity, fault.hangAfterBytes ?? Infinity);
    for await (let bytes of file.read(from, to)) {
      bytes = bytes.subarray(0, stopAt - entry.sent);
      if (fault.corrupt) bytes = corrupted(bytes, entry.sent);
      await pace(bytes.length, fault.bytesPerSecond);
      if (response.destroyed) return;
      await write(response, bytes);
      entry.sent += bytes.length;
      if (entry.sent >= stopAt) break;
    }
    if (fault.resetAfterBytes !== undefined) return void response.socket?.resetAndDestroy();
    if (fault.hangAfterBytes === undefined) response.end();
  }

  const server = http.createServer((request, response) => {
    answer(request, response).catch((error) => {
      // A viewer that goes away mid-answer is everyday life; anything else is a fault of this server.
      const gone = response.destroyed || ["EPIPE", "ECONNRESET"].includes(error.code);
      if (!gone) console.error(`origin: ${request.url}: ${error.stack ?? error}`);
      response.destroy();
    });
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise((done, fail) => {
    server.once("error", fail);
    server.listen(port, host, done);
  });
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${server.address().port}`;

  return {
    url,
    dir: folder,
    /** Every request: `{ path, viewer (user agent), range, status, start, sent (bytes), at (Unix ms) }`. */
    log,

    /**
     * Serves a path, or everything below a prefix that ends in "/", from a function.
     *
     * @param {string} prefix
     * @param {(rest: string) => { file: string } | { body: string | Uint8Array, type?: string } | undefined} find
     * @returns {() => void} takes it away again
     */
    mount(prefix, find) {
      mounts.set(prefix, find);
      return () => mounts.delete(prefix);
    },

    /**
     * Makes requests fail.
     *
     * @param {string | RegExp | ((path: string, request: http.IncomingMessage) => boolean)} which a text that the path
     *   contains, a pattern, or a function
     * @param {object} fault any of: `status`; `latencyMs`; `hang` (no answer); `hangAfterBytes`; `resetAfterBytes`;
     *   `truncateBytes` (a shorter file); `bytesPerSecond` (of this answer); `noRange` (200 with everything);
     *   `noCors`; `chunked` (no length); `corrupt` (one bit in each 64 KiB); `rangeOnly` (only requests with
     *   `Range`); `times` (wears off after so many)
     * @returns {() => void} takes it away again
     */
    setFault(which, fault) {
      const fits =
        typeof which === "function"
          ? which
          : which instanceof RegExp
            ? (pathname) => which.test(pathname)
            : (pathname) => pathname.includes(which);
      const rule = { times: Infinity, ...fault, fits };
      faults.add(rule);
      return () => faults.delete(rule);
    },
    clearFaults: () => faults.clear(),

    /** Changes latency and rate while running. */
    setShape(change) {
      Object.assign(shape, change);
    },

    /** `{ requests, bytes, files: { path: { requests, bytes } } }` since the start or the last `reset()`. */
    stats() {
      const files = {};
      let bytes = 0;
      for (const entry of log) {
        files[entry.path] ??= { requests: 0, bytes: 0 };
        files[entry.path].requests++;
        files[entry.path].bytes += entry.sent;
        bytes += entry.sent;
      }
      return { requests: log.length, bytes, files };
    },

    /**
     * Of everything that is not a playlist: `{ requests, bytes, uniqueBytes, copies, byViewer }`. `uniqueBytes` counts
     * each byte of each file once; `copies` is `bytes / uniqueBytes`.
     */
    segmentsServed: () => segmentsServed(log),

    /** The bytes that a URL of this origin stands for; `end` 0 means to the end. */
    async bytesAt(fileUrl, start = 0, end = 0) {
      const found = resolve(decodeURIComponent(new URL(fileUrl, url).pathname));
      if (!found) throw new Error(`the origin has nothing at ${fileUrl}`);
      const bytes = found.body === undefined ? await readFile(found.file) : Buffer.from(found.body);
      return bytes.subarray(start, end || undefined);
    },

    reset() {
      log.length = 0;
    },

    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((done) => server.close(done));
    },
  };
}

/** What stands at a relative path in a folder, never above it. */
export function fileIn(folder, rest) {
  const file = path.resolve(folder, rest);
  return file.startsWith(folder + path.sep) ? { file } : undefined;
}

/** Undefined without a usable range, null for one beyond the file, else `[from, to)`. Several ranges: none. */
export function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (!match[1] && !match[2])) return undefined;
  const [, first, last] = match;
  if (!first) return Number(last) === 0 || size === 0 ? null : [Math.max(0, size - Number(last)), size];
  if (last && Number(last) < Number(first)) return undefined;
  if (Number(first) >= size) return null;
  return [Number(first), last ? Math.min(Number(last) + 1, size) : size];
}

function typeOf(file) {
  return types[path.extname(file)] ?? "application/octet-stream";
}

function corrupted(bytes, at) {
  const copy = Buffer.from(bytes);
  // Not the first byte of a transport packet: the damage should be found by a check, not by a parser.
  if (copy.length) copy[(at + 100) % copy.length] ^= 1;
  return copy;
}

function write(response, bytes) {
  return new Promise((done, fail) => response.write(bytes, (error) => (error ? fail(error) : done())));
}

function segmentsServed(log) {
  const byViewer = new Map();
  const spans = new Map();
  let bytes = 0;
  let requests = 0;
  for (const { path: file, viewer, start, sent } of log) {
    if (file.endsWith(".m3u8")) continue;
    requests++;
    bytes += sent;
    byViewer.set(viewer, (byViewer.get(viewer) ?? 0) + sent);
    if (!spans.has(file)) spans.set(file, []);
    spans.get(file).push([start, start + sent]);
  }
  let uniqueBytes = 0;
  for (const list of spans.values()) {
    list.sort((a, b) => a[0] - b[0]);
    let covered = 0;
    for (const [from, to] of list) {
      uniqueBytes += Math.max(0, to - Math.max(from, covered));
      covered = Math.max(covered, to);
    }
  }
  return { requests, bytes, uniqueBytes, copies: uniqueBytes ? bytes / uniqueBytes : 0, byViewer };
}
