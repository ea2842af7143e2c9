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
/** Holes up to this are jumped over by hls.js (`maxBufferHole` and nudges), in seconds. */
const HOLE_S = 0.5;

/** Watches a media element. */
export class PlayheadWatch {
  readonly #media: HTMLMediaElement;
  readonly #tell: PlayheadListener;
  readonly #update = () => this.tell();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(media: HTMLMediaElement, tell: PlayheadListener) {
    this.#media = media;
    this.#tell = tell;
    for (const event of EVENTS) media.addEventListener(event, this.#update);
    this.#timer = setInterval(() => {
      if (!media.paused) this.tell();
    }, INTERVAL_MS);
    this.tell();
  }

  /** Tells it now. */
  tell(): void {
    const { currentTime, paused, ended, playbackRate, buffered } = this.#media;
    const rate = paused || ended ? 0 : Math.max(playbackRate, 0);
    this.#tell(currentTime * 1000, rate * 1000, bufferedAhead(buffered, currentTime) * 1000);
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
