import type { FetchSink } from "../pkg/hlswarm.js";
import type { Answer, Failure } from "./adapter/loader.js";
import type { Event } from "./events.js";
import { harmless } from "./events.js";
import type { Hasher } from "./hashing.js";
import { download } from "./http-requests.js";
import type { Hooks, SegmentInfo } from "./options.js";

/** What the engine's shell needs of the page and of hls.js. */
export interface HostSetup {
  hooks: Hooks;
  /** Prefix of storage keys. */
  swarm: string;
  /** hls.js's time limits for fragments, in milliseconds. */
  firstByteLimitMs: number;
  loadLimitMs: number;
  /** The segment that a key names. */
  segment(key: string): SegmentInfo;
  /** What to fetch for it. */
  request(
    key: string,
    url: string,
    range: { start: number; end: number } | null,
    signal: AbortSignal,
  ): Request | Promise<Request> | ((sink: FetchSink) => () => void);
  /** Whether an Ed25519 signature holds. */
  checkSignature(
    publicKey: Uint8Array<ArrayBuffer>,
    message: Uint8Array<ArrayBuffer>,
    signature: Uint8Array<ArrayBuffer>,
  ): Promise<boolean>;
  /** Tells the page. */
  event(event: Event): void;
  /** The engine broke: everything of it has been ended. Called once. */
  broken(error: unknown): void;
}

interface Closable {
  close?(): void;
  abort?(): void;
}

/** A closed peer connection goes after this long even when its channel was not heard to close. */
const RETIRE_MS = 1000;

/**
 * The page's side of one shell. Its methods are called from wasm, in the middle of the engine's work: none throws,
 * and none calls the shell back other than through its inbox.
 */
export class Host {
  readonly rtcConfig: RTCConfiguration;
  readonly signal: AbortSignal;
  readonly hasValidator: boolean;
  readonly hasStorage: boolean;
  readonly firstByteLimitMs: number;
  readonly loadLimitMs: number;
  readonly #setup: HostSetup;
  readonly #answers = new Map<number, Answer>();
  readonly #resources = new Set<Closable>();
  readonly #controller = new AbortController();
  /** Null while it is being loaded, and where it could not be. */
  #hasher: Hasher | null | undefined;
  #dead = false;
  #nextRequest = 1;

  constructor(setup: HostSetup) {
    this.#setup = setup;
    this.rtcConfig = setup.hooks.rtcConfig ?? { iceServers: [] };
    this.signal = this.#controller.signal;
    this.hasValidator = !!setup.hooks.segmentValidator;
    this.hasStorage = !!setup.hooks.segmentsStorage;
    this.firstByteLimitMs = finite(setup.firstByteLimitMs);
    this.loadLimitMs = finite(setup.loadLimitMs);
  }

  /** Whether the engine broke. */
  get dead(): boolean {
    return this.#dead;
  }

  /** Registers who waits for an answer; returns the number to ask with. */
  expect(answer: Answer): number {
    const request = this.#nextRequest++;
    this.#answers.set(request, answer);
    return request;
  }

  /** Nobody waits any more. False when the answer was given already. */
  forget(request: number): boolean {
    return this.#answers.delete(request);
  }

  /** Nobody waits any more for anything. */
  forgetAll(): void {
    this.#answers.clear();
  }

  /** All who wait get no answer. */
  failAll(kind: Failure["kind"]): void {
    const waiting = [...this.#answers.values()];
    this.#answers.clear();
    for (const answer of waiting) harmless(() => answer.failed({ kind, status: 0, message: kind }));
  }

  /** Wraps what enters wasm. What it throws, a trap included, ends our part and nothing else. */
  guard(body: () => void): () => void {
    return () => {
      if (this.#dead) return;
      try {
        body();
      } catch (error) {
        this.#die(error);
      }
    };
  }

  /** {@link guard} of a call that is made now. */
  attempt(body: () => void): void {
    this.guard(body)();
  }

  keep(resource: Closable): void {
    this.#resources.add(resource);
  }

  release(resource: Closable): void {
    this.#resources.delete(resource);
  }

  retire(connection: RTCPeerConnection, channel: RTCDataChannel | undefined): void {
    if (!channel || channel.readyState === "closed") {
      connection.close();
      return;
    }
    const close = () => {
      clearTimeout(timer);
      connection.close();
    };
    const timer = setTimeout(close, RETIRE_MS);
    channel.addEventListener("close", close, { once: true });
    channel.close();
  }

  deliver(request: number, bytes: Uint8Array<ArrayBuffer>, firstByteMs: number, totalMs: number): void {
    const answer = this.#answers.get(request);
    this.#answers.delete(request);
    if (answer) harmless(() => answer.delivered(bytes.buffer, { firstByteMs, totalMs }));
  }

  fail(request: number, kind: Failure["kind"], status: number, message: string): void {
    const answer = this.#answers.get(request);
    this.#answers.delete(request);
    if (answer) harmless(() => answer.failed({ kind, status, message }));
  }

  progress(request: number, startedMs: number, firstMs: number, loaded: number, total: number): void {
    this.#answers.get(request)?.progress(startedMs, firstMs, loaded, total);
  }

  event(json: string): void {
    this.#setup.event(JSON.parse(json));
  }

  /**
   * SHA-256, beside the page's own thread. Pages that did not come over HTTPS have no WebCrypto: there a worker hashes, and
   * as long as there is none, or if there can be none, it is the engine's part.
   */
  digest(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> | undefined {
    const subtle = globalThis.crypto?.subtle;
    if (subtle) return subtle.digest("SHA-256", bytes);
    if (this.#hasher === undefined) {
      this.#hasher = null;
      import("./hashing.js")
        .then(({ Hasher }) => {
          if (this.signal.aborted) return;
          this.#hasher = new Hasher();
          this.keep(this.#hasher);
        })
        .catch(() => {});
    }
    return this.#hasher?.digest(bytes);
  }

  /** The views are into the engine's memory: they are copied before anything waits. */
  checkSignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return this.#setup.checkSignature(publicKey.slice(), message.slice(), signature.slice());
  }

  async verify(
    key: string,
    url: string,
    bytes: Uint8Array<ArrayBuffer>,
    fromPeers: boolean,
  ): Promise<boolean> {
    try {
      const segment = { ...this.#setup.segment(key), url, fromPeers };
      return (await this.#setup.hooks.segmentValidator?.(segment, bytes.buffer)) === true;
    } catch (error) {
      this.#hookFailed("segmentValidator", error);
      return false;
    }
  }

  async stored(key: string, start: number, end: number): Promise<Uint8Array | undefined> {
    const whole = this.#setup.segment(key).byteRange ?? { start: 0, end: -1 };
    if (whole.start !== start || whole.end !== end) return undefined;
    try {
      const found = await this.#setup.hooks.segmentsStorage?.get(this.#storageKey(key));
      // A copy: what we keep must not change when the storage's own buffer does.
      return found?.byteLength ? new Uint8Array(found).slice() : undefined;
    } catch (error) {
      this.#hookFailed("segmentsStorage.get", error);
      return undefined;
    }
  }

  store(key: string, bytes: Uint8Array<ArrayBuffer>): void {
    const storage = this.#setup.hooks.segmentsStorage;
    this.#quietly("segmentsStorage.store", () => storage?.store(this.#storageKey(key), bytes.buffer));
  }

  unstore(key: string): void {
    const storage = this.#setup.hooks.segmentsStorage;
    this.#quietly("segmentsStorage.remove", () => storage?.remove(this.#storageKey(key)));
  }

  /** Downloads a segment in the background. Returns what stops it. */
  download(key: string, url: string, start: number, end: number, sink: FetchSink): AbortController {
    const controller = new AbortController();
    const { signal } = controller;
    this.keep(controller);
    const run = async () => {
      const bytes = await (this.hasStorage ? this.stored(key, start, end) : null);
      if (bytes) sink.stored(bytes);
      else if (!signal.aborted)
        await download(await this.request(key, url, start, end, signal), signal, sink);
    };
    run().catch((error: unknown) => {
      if (!this.#dead) sink.broken(String(error));
    });
    return controller;
  }

  stop(controller: AbortController): void {
    this.release(controller);
    controller.abort();
  }

  settle(promise: unknown, settled: (kept: boolean, value: unknown) => void): void {
    Promise.resolve(promise).then(
      (value) => settled(true, value),
      (error: unknown) => settled(false, error),
    );
  }

  describe(connection: RTCPeerConnection, type: RTCSdpType | undefined, sdp: string): Promise<void> {
    return type ? connection.setRemoteDescription({ type, sdp }) : connection.setLocalDescription();
  }

  request(
    key: string,
    url: string,
    start: number,
    end: number,
    signal: AbortSignal,
  ): ReturnType<HostSetup["request"]> {
    try {
      const build = this.#setup.hooks.segmentUrlBuilder;
      const target = build ? String(build({ ...this.#setup.segment(key), url })) : url;
      return this.#setup.request(key, target, end < 0 ? null : { start, end }, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Ends everything that runs without the engine's help. */
  close(): void {
    this.#controller.abort();
    for (const resource of [...this.#resources]) {
      try {
        if (resource.close) resource.close();
        else resource.abort?.();
      } catch {
        // It is closed, or will never open.
      }
    }
    this.#resources.clear();
  }

  #die(error: unknown): void {
    this.#dead = true;
    this.close();
    // We may be deep inside a call from hls.js: it goes on first.
    queueMicrotask(() => {
      this.#setup.broken(error);
      this.failAll("broken");
    });
  }

  #storageKey(key: string): string {
    return `${this.#setup.swarm} ${key}`;
  }

  #quietly(hook: string, call: () => unknown): void {
    new Promise((resolve) => resolve(call())).catch((error: unknown) => this.#hookFailed(hook, error));
  }

  #hookFailed(hook: string, error: unknown): void {
    const message = `loader.${hook} failed: ${error instanceof Error ? error.message : String(error)}`;
    this.#setup.event({ type: "error", message, fatal: false });
  }
}

/** A time limit that a timer can take. */
function finite(limitMs: number): number {
  return Number.isFinite(limitMs) && limitMs > 0 ? limitMs : 2 ** 31 - 1;
}
