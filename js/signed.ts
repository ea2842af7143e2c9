import type { SignatureCheck } from "./ed25519.js";

/** What becomes of a playlist's records. */
export interface SidecarListener {
  /** They came. */
  records(bytes: Uint8Array): void;
  /** They could not be had: for people. */
  missing(reason: string): void;
}

/** Turns a sidecar's URL into a request, as the page sets its requests up. */
export type PrepareSidecar = (url: string, signal: AbortSignal) => Request | Promise<Request>;

/** Longest sidecar that is read, in bytes. */
const MOST_BYTES = 32 * 1024 * 1024;
/** A sidecar that cannot be had is asked for again after so many milliseconds, then given up until the playlist changes. */
const RETRY_MS = [1000, 4000, 15_000];
/** A live playlist's records may be written a moment after it. */
const SOON_MS = 400;

/** Fetches the signed records that stand beside playlists. */
export class Sidecars {
  readonly #pattern: string;
  readonly #listener: SidecarListener;
  readonly #prepare: PrepareSidecar;
  readonly #controller = new AbortController();
  /** By URL: whether it is being fetched, and how many bytes it had last. */
  readonly #known = new Map<string, { busy: boolean; again: boolean; bytes: number; done: boolean }>();

  constructor(pattern: string | undefined, listener: SidecarListener, prepare: PrepareSidecar) {
    this.#pattern = pattern ?? "{playlist}.hsig";
    this.#listener = listener;
    this.#prepare = prepare;
  }

  /** A playlist was loaded or refreshed. */
  load(playlist: string, live: boolean): void {
    const url = this.url(playlist);
    const known = this.#known.get(url) ?? { busy: false, again: false, bytes: 0, done: false };
    this.#known.set(url, known);
    if (known.busy || (known.done && !live)) {
      known.again ||= live;
      return;
    }
    known.busy = true;
    this.#fetch(url, live)
      .catch((error: unknown) => {
        if (!this.#controller.signal.aborted) this.#listener.missing(`${url}: ${text(error)}`);
      })
      .finally(() => {
        known.busy = false;
        if (!known.again || this.#controller.signal.aborted) return;
        known.again = false;
        this.load(playlist, live);
      });
  }

  /** Where a playlist's records are. */
  url(playlist: string): string {
    const bare = playlist.replace(/[?#].*$/s, "");
    return new URL(
      this.#pattern.replaceAll("{playlist}", () => bare),
      bare,
    ).href;
  }

  /** Fetches nothing more. */
  stop(): void {
    this.#controller.abort();
  }

  async #fetch(url: string, live: boolean): Promise<void> {
    const known = this.#known.get(url);
    for (const waitMs of [...RETRY_MS, null]) {
      try {
        const bytes = await this.#once(url);
        const grew = known?.bytes !== bytes.byteLength;
        if (known) Object.assign(known, { bytes: bytes.byteLength, done: true });
        this.#listener.records(bytes);
        if (live && !grew) {
          await pause(SOON_MS);
          this.#listener.records(await this.#once(url));
        }
        return;
      } catch (error) {
        if (waitMs === null || this.#controller.signal.aborted) throw error;
        await pause(waitMs);
      }
    }
  }

  async #once(url: string): Promise<Uint8Array> {
    const { signal } = this.#controller;
    const response = await fetch(await this.#prepare(url, signal));
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.byteLength > MOST_BYTES) throw new Error(`longer than ${MOST_BYTES} bytes`);
    return bytes;
  }
}

let library: Promise<SignatureCheck> | undefined;
let hasEd25519 = true;

/** Whether an Ed25519 signature (RFC 8032) holds: by WebCrypto, or by a library where WebCrypto has no Ed25519. */
export async function checkSignature(
  publicKey: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  if (hasEd25519) {
    try {
      const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
      return await crypto.subtle.verify("Ed25519", key, signature, message);
    } catch (error) {
      // The key is none, which says nothing of others; or it is not offered here.
      hasEd25519 = error instanceof DOMException && error.name === "DataError";
    }
  }
  library ??= import("./ed25519.js").then((loaded) => loaded.checkSignature);
  return (await library)(publicKey, message, signature);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
