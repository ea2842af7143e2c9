/** Tells where the player is: position and buffer in milliseconds, rate in thousandths. */
export type PlayheadListener = (positionMs: number, rateMilli: number, bufferedMs: number) => void;

const EVENTS = [
  "play",
  "playing",
  "pause",
  "seeking",
  "seeked",
  "waiting",
  "ratechange",
  "ended",
  "loadedmetadata",
];
const INTERVAL_MS = 400;
/** The engine moves the playhead on by itself: while it is where it should be, it is told this seldom. */
const CALM_MS = 1200;
/** How far from where it should be is as good as there, in milliseconds. */
const NEAR_MS = 100;
/** Holes up to this are jumped over by hls.js (`maxBufferHole` and nudges), in seconds. */
const HOLE_S = 0.5;

/** Watches a media element. */
export class PlayheadWatch {
  readonly #media: HTMLMediaElement;
  readonly #tell: PlayheadListener;
  readonly #update = () => this.tell();
  readonly #timer: ReturnType<typeof setInterval>;
  /** What was told last, and when. */
  #told = { atMs: 0, positionMs: 0, rateMilli: 0, bufferedMs: 0 };

  constructor(media: HTMLMediaElement, tell: PlayheadListener) {
    this.#media = media;
    this.#tell = tell;
    for (const event of EVENTS) media.addEventListener(event, this.#update);
    this.#timer = setInterval(() => {
      if (!media.paused && !this.#isAsExpected()) this.tell();
    }, INTERVAL_MS);
    this.tell();
  }

  /** Tells it now. */
  tell(): void {
    const { positionMs, rateMilli, bufferedMs } = this.#look();
    this.#told = { atMs: performance.now(), positionMs, rateMilli, bufferedMs };
    this.#tell(positionMs, rateMilli, bufferedMs);
  }

  #look() {
    const { currentTime, paused, ended, playbackRate, buffered } = this.#media;
    return {
      positionMs: currentTime * 1000,
      rateMilli: paused || ended ? 0 : Math.max(playbackRate, 0) * 1000,
      bufferedMs: bufferedAhead(buffered, currentTime) * 1000,
    };
  }

  /** Whether the player is where the engine takes it to be, with as much to play. */
  #isAsExpected(): boolean {
    const { atMs, positionMs, rateMilli, bufferedMs } = this.#told;
    const passedMs = performance.now() - atMs;
    if (passedMs >= CALM_MS) return false;
    const playedMs = Math.min((passedMs * rateMilli) / 1000, bufferedMs);
    const now = this.#look();
    return (
      now.rateMilli === rateMilli &&
      Math.abs(now.positionMs - positionMs - playedMs) < NEAR_MS &&
      Math.abs(now.bufferedMs - bufferedMs + playedMs) < NEAR_MS
    );
  }

  /** Stops watching. */
  destroy(): void {
    clearInterval(this.#timer);
    for (const event of EVENTS) this.#media.removeEventListener(event, this.#update);
  }
}

/** Playable seconds ahead of a position. */
export function bufferedAhead(buffered: TimeRanges, position: number): number {
  let end = position;
  for (let index = 0; index < buffered.length; index++) {
    if (buffered.start(index) <= end + HOLE_S && buffered.end(index) > end) end = buffered.end(index);
  }
  return end - position;
}
