/** What a page tells of the world around it. */
export interface EnvironmentListener {
  network(online: boolean, metered: boolean): void;
  visibility(hidden: boolean): void;
  /** The page goes away, perhaps to come back. */
  leave(forGood: boolean): void;
  /** It came back. */
  comeBack(): void;
}

interface Connection extends EventTarget {
  saveData?: boolean;
  type?: string;
}

/** Watches the page. */
export class Environment {
  readonly #listener: EnvironmentListener;
  readonly #controller = new AbortController();
  readonly #connection = (navigator as { connection?: Connection }).connection;

  constructor(listener: EnvironmentListener) {
    this.#listener = listener;
    const network = () => this.#tellNetwork();
    this.#on(window, "online", network);
    this.#on(window, "offline", network);
    if (this.#connection) this.#on(this.#connection, "change", network);
    this.#on(document, "visibilitychange", () => this.#tellVisibility());
    this.#on(window, "pagehide", (event) => listener.leave(!(event as PageTransitionEvent).persisted));
    this.#on(window, "pageshow", (event) => {
      if ((event as PageTransitionEvent).persisted) listener.comeBack();
    });
  }

  /** Tells everything as it is now. */
  tell(): void {
    this.#tellNetwork();
    this.#tellVisibility();
  }

  /** Stops watching. */
  destroy(): void {
    this.#controller.abort();
  }

  #tellNetwork(): void {
    const connection = this.#connection;
    this.#listener.network(
      navigator.onLine !== false,
      connection?.saveData === true || connection?.type === "cellular",
    );
  }

  #tellVisibility(): void {
    this.#listener.visibility(document.visibilityState === "hidden");
  }

  #on(target: EventTarget, event: string, listener: (event: Event) => void): void {
    target.addEventListener(event, listener, { signal: this.#controller.signal });
  }
}

/** Whether this is a phone: pages have little memory there. */
export function isPhone(): boolean {
  if (typeof navigator === "undefined") return false;
  const data = (navigator as { userAgentData?: { mobile: boolean } }).userAgentData;
  return data ? data.mobile : /Mobi|Android|iPhone|iPad/.test(navigator.userAgent);
}
