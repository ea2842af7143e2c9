import type { Fragment, FragmentLoaderContext, HlsConfig, Loader, LoaderContextType } from "hls.js";
import type { FetchSink } from "../pkg/hlswarm.js";
import type { LoaderClass } from "./adapter/loader.js";
import { harmless } from "./events.js";
import type { Hooks } from "./options.js";

/** A segment to fetch. */
export interface SegmentRequest {
  url: string;
  /** `end` is exclusive, infinite for an open range. */
  range: { start: number; end: number } | null;
  /** hls.js's own object for it, while the playlist lists it. */
  fragment: Fragment | undefined;
  signal: AbortSignal;
}

/** A download done by TypeScript. Returns what stops it. */
export type Transport = (sink: FetchSink) => () => void;

/** The page's ways to change HTTP requests. */
export interface RequestHooks {
  /** Given to hlswarm. */
  hooks: Pick<Hooks, "requestSetup" | "xhrSetup">;
  /** The player's configuration as it stands. */
  config: HlsConfig;
  /** The page's own hls.js loader class, if it has one. */
  customLoader: LoaderClass | null;
}

/**
 * Turns a segment into what the engine fetches, honouring the page's set-up: our own hooks first, then a loader
 * class of the page's, then hls.js's `xhrSetup` and `fetchSetup`.
 */
export function prepareRequest(
  request: SegmentRequest,
  { hooks, config, customLoader }: RequestHooks,
): Request | Promise<Request> | Transport {
  if (hooks.requestSetup) return setUpByHook(request, hooks.requestSetup);
  if (hooks.xhrSetup) return setUpByXhr(request, hooks.xhrSetup);
  if (customLoader) return (sink) => loadBy(new customLoader(config), request, config, sink);
  if (config.xhrSetup && !config.progressive) return setUpByXhr(request, config.xhrSetup);
  if (config.fetchSetup) {
    const made = config.fetchSetup(contextOf(request), initOf(request));
    return Promise.resolve(made).then((made) => new Request(made, { signal: request.signal }));
  }
  return new Request(request.url, initOf(request));
}

/** Runs a download that was prepared, and tells the sink. */
export async function download(
  prepared: Request | Transport,
  signal: AbortSignal,
  sink: FetchSink,
): Promise<void> {
  if (signal.aborted) return;
  if (typeof prepared === "function") {
    const stop = prepared(sink);
    signal.addEventListener("abort", () => harmless(stop));
    return;
  }
  const response = await fetch(prepared);
  if (!response.ok) return sink.failed(response.status);
  const header = (name: string) => response.headers.get(name) ?? "";
  // RFC 9110 section 14.4.
  const [, first, last] = /^\s*bytes\s*(\d+)\s*-\s*(\d+)\s*\//.exec(header("content-range")) ?? [];
  sink.opened(response.status, bodyBytes(response, header), Number(first), Number(last));
  const reader = response.body?.getReader();
  for (;;) {
    const step = await reader?.read();
    if (!step?.value) break;
    sink.bytes(step.value);
  }
  sink.done();
}

/** The length that the response promises, NaN where it cannot be believed to be that of the bytes we shall see. */
function bodyBytes({ type }: Response, header: (name: string) => string): number {
  // Across origins a page cannot see whether the body is compressed. Servers compress text, not media.
  const media = /^(video\/|audio\/|(application|binary)\/octet-stream)/.test(header("content-type"));
  return header("content-encoding") || (type !== "basic" && !media)
    ? Number.NaN
    : Number(/^\d+$/.exec(header("content-length"))?.[0]);
}

/** As hls.js's own loaders ask: cookies for the same origin only. */
function initOf({ range, signal }: SegmentRequest): RequestInit & { headers: Headers } {
  const headers = new Headers();
  if (range) headers.set("Range", `bytes=${range.start}-${Number.isFinite(range.end) ? range.end - 1 : ""}`);
  return { method: "GET", mode: "cors", credentials: "same-origin", headers, signal };
}

async function setUpByHook(
  request: SegmentRequest,
  setUp: NonNullable<Hooks["requestSetup"]>,
): Promise<Request> {
  const init = initOf(request);
  const made = (await setUp(request.url, init)) ?? init;
  return made instanceof Request
    ? new Request(made, { signal: request.signal })
    : new Request(request.url, { ...made, signal: request.signal });
}

type XhrSetup = (xhr: XMLHttpRequest, url: string, context: FragmentLoaderContext) => Promise<void> | void;

/**
 * Lets the page set an XMLHttpRequest up and fetches what it set: URL, headers, credentials. An XMLHttpRequest could
 * not hand over bytes while they arrive, and others wait for them.
 */
async function setUpByXhr(request: SegmentRequest, setUp: XhrSetup): Promise<Request> {
  const xhr = new XMLHttpRequest();
  const init = initOf(request);
  let { url } = request;
  const { open, setRequestHeader } = xhr;
  xhr.open = (method: string, to: string | URL) => {
    url = String(to);
    open.call(xhr, method, to, true);
  };
  xhr.setRequestHeader = (name, value) => {
    setRequestHeader.call(xhr, name, value);
    init.headers.append(name, value);
  };
  const context = contextOf(request);
  try {
    await setUp(xhr, url, context);
  } catch {
    // As in hls.js: a set-up that wants to set headers needs an open request.
    xhr.open("GET", url);
    await setUp(xhr, url, context);
  }
  return new Request(url, { ...init, credentials: xhr.withCredentials ? "include" : "same-origin" });
}

function contextOf({ url, range, fragment }: SegmentRequest): FragmentLoaderContext {
  return {
    type: "media-fragment" as LoaderContextType.MEDIA_FRAGMENT,
    frag: fragment as Fragment,
    part: null,
    responseType: "arraybuffer",
    url,
    headers: {},
    rangeStart: range?.start ?? 0,
    rangeEnd: range && Number.isFinite(range.end) ? range.end : 0,
  };
}

/** How often a loader that hands its bytes over at the end is asked whether it lives. */
const PULSE_MS = 500;

/** Downloads with a loader of the page's, for those that sign, decrypt or report requests in a class of their own. */
function loadBy(
  loader: Loader<FragmentLoaderContext>,
  request: SegmentRequest,
  config: HlsConfig,
  sink: FetchSink,
): () => void {
  const { stats } = loader;
  const loadPolicy = { ...config.fragLoadPolicy.default, errorRetry: null, timeoutRetry: null };
  let seen = -1;
  const pulse = setInterval(() => {
    if (stats.loaded > seen && stats.loading.first) {
      if (seen < 0) sink.opened(request.range ? 206 : 200, Number.NaN, Number.NaN, Number.NaN);
      seen = stats.loaded;
      sink.alive();
    }
  }, PULSE_MS);
  const end = () => {
    clearInterval(pulse);
    loader.destroy();
  };
  const failWith = (code: number, text: string) => {
    if (code >= 400) sink.failed(code);
    else sink.broken(text || "the page's loader failed");
    end();
  };
  loader.load(
    contextOf(request),
    { loadPolicy, timeout: loadPolicy.maxLoadTimeMs, maxRetry: 0, retryDelay: 0, maxRetryDelay: 0 },
    {
      onSuccess: ({ data, code }) => {
        if (data instanceof ArrayBuffer) {
          if (seen < 0)
            sink.opened(code || (request.range ? 206 : 200), data.byteLength, Number.NaN, Number.NaN);
          sink.bytes(new Uint8Array(data));
          sink.done();
        } else {
          sink.broken("the page's loader gave no ArrayBuffer");
        }
        end();
      },
      onError: ({ code, text }) => failWith(code, text),
      onTimeout: () => {
        sink.timedOut();
        end();
      },
      onAbort: () => failWith(0, "aborted by the page's loader"),
    },
  );
  return end;
}
