import type Hls from "hls.js";
import type { FragmentLoaderContext } from "hls.js";
import type { Shell } from "../pkg/hlswarm.js";
import type { Answer, Hub, LoaderClass, Ticket } from "./adapter/loader.js";
import { createLoaderClass } from "./adapter/loader.js";
import { type ParsedManifest, Player, type PlayerListener } from "./adapter/player.js";
import { byteRangeOf, Timelines, type TimelineUpdate } from "./adapter/timelines.js";
import { withoutQuery } from "./adapter/track-name.js";
import type { Engine } from "./engine.js";
import { Environment, isPhone } from "./environment.js";
import { Emitter, type Event, type Events } from "./events.js";
import { Host } from "./host.js";
import { prepareRequest } from "./http-requests.js";
import { type Options, type ParsedOptions, parseOptions, type SegmentInfo } from "./options.js";
import { rtcConfigProblems } from "./rtc-config.js";
import type { Sidecars } from "./signed.js";
import { addTotals, type EngineStats, NO_STATS, type Stats } from "./stats.js";

/** A segment asked for while the engine loads waits so long for it, in milliseconds. */
const PATIENCE_MS = 60;

/** An engine at work for one manifest. */
interface Run {
  swarm: string;
  host: Host;
  shell: Shell;
}

/** What ties one player to one engine after another. */
export class Session implements Hub, PlayerListener {
  readonly ready: Promise<void>;
  readonly events = new Emitter();
  readonly #hls: Hls;
  readonly #player: Player;
  readonly #options: Options;
  readonly #parsed: ParsedOptions;
  readonly #environment: Environment;
  readonly #timelines = new Timelines();
  readonly #ownLoaders: { fLoader: LoaderClass | undefined };
  readonly #loader: LoaderClass;
  #engine: Engine | null = null;
  #run: Run | null = null;
  #sidecars: Promise<Sidecars> | null = null;
  #manifest: string | null = null;
  /** What the player read at it last. */
  #read: Parameters<PlayerListener["parsed"]> | null = null;
  #state: Stats["state"] = "loading";
  #away = false;
  #p2p: boolean | null = null;
  #token: string | null = null;
  #consent: boolean | null = null;
  /** Counted by engines that are gone. */
  #before: EngineStats = NO_STATS;
  /** The last that was seen of the running one. */
  #last: EngineStats = NO_STATS;
  #bypassedBytes = 0;

  constructor(hls: Hls, options: Options, loadEngine: () => Promise<Engine>) {
    this.#hls = hls;
    this.#options = options;
    this.#parsed = parseOptions(options, isPhone());
    this.#ownLoaders = { fLoader: hls.config.fLoader as LoaderClass | undefined };
    this.#loader = createLoaderClass(this, () => this.#ownLoader());
    hls.config.fLoader = this.#loader as typeof hls.config.fLoader;
    this.#environment = new Environment({
      network: (online, metered) => this.#tell((shell) => shell.network(online, metered)),
      visibility: (hidden) => this.#tell((shell) => shell.visibility(hidden)),
      leave: (forGood) => this.#leave(forGood),
      comeBack: () => this.#comeBack(),
    });
    this.ready = this.#boot(loadEngine);
    this.ready.catch(() => {});
    this.#player = new Player(hls, this);
  }

  stats(): Stats {
    return {
      ...addTotals(this.#before, this.#snapshot()),
      state: this.#state,
      peerId: this.#run && !this.#run.host.dead ? (this.#run.shell.peerId ?? null) : null,
      bypassedBytes: this.#bypassedBytes,
    };
  }

  setP2P(enabled: boolean): void {
    this.#p2p = enabled;
    this.#tell((shell) => shell.setP2P(enabled));
  }

  setTrackerToken(token: string): void {
    this.#token = `${token}`;
    this.#tell((shell) => shell.setTrackerToken(`${token}`));
  }

  setConsent(given: boolean): void {
    // Only now, as it makes a connection, if one that leads nowhere.
    if (given && this.#consent === null && this.#parsed.consentRequired) this.#checkRtcConfigLate();
    this.#consent = given === true;
    this.#tell((shell) => shell.setConsent(given === true));
  }

  destroy(): void {
    if (this.#state === "destroyed") return;
    this.#stopRun();
    this.#state = "destroyed";
    this.#environment.destroy();
    this.#player.destroy();
    const { config } = this.#hls;
    // Someone else may have put their own in front of ours.
    if ((config?.fLoader as unknown) === this.#loader) {
      config.fLoader = this.#ownLoaders.fLoader as typeof config.fLoader;
    }
    this.events.clear();
  }

  // What the player tells.

  manifest(url: string): void {
    const swarm = withoutQuery(new URL(url, location.href).href);
    if (this.#manifest === swarm) return;
    this.#stopRun();
    this.#timelines.clear();
    this.#manifest = swarm;
    this.#startRun();
  }

  parsed(...read: [ParsedManifest, (kind: "main" | "audio", url: string) => string]): void {
    this.#read = read;
    this.#tellStreams();
  }

  playlist(...[kind, name, bitrateBps, details]: Parameters<PlayerListener["playlist"]>): void {
    // The name is hashed by the engine: without one there is nobody to tell.
    const track = this.#engine?.trackId(name);
    if (!track) return;
    const update = this.#timelines.update({ track, kind, bitrateBps, details });
    this.#tell((shell) => {
      tellTimeline(shell, update);
      const { version } = this.#parsed.interop ?? {};
      if (version) this.#engine?.full?.tellPlaylist(shell, version, track, details);
    });
    this.#loadRecords(details.url, details.live);
  }

  moved(details: Parameters<PlayerListener["moved"]>[0]): void {
    const update = this.#timelines.moved(details);
    if (update) this.#tell((shell) => tellTimeline(shell, update));
  }

  playhead(positionMs: number, rateMilli: number, bufferedMs: number): void {
    this.#tell((shell) => shell.playhead(positionMs, rateMilli, bufferedMs));
  }

  gone(): void {
    this.#run?.host.forgetAll();
    this.destroy();
  }

  // What the loaders ask.

  soon(): Promise<unknown> | null {
    if (this.#state !== "loading") return null;
    return Promise.race([
      this.ready.catch(() => {}),
      new Promise((resolve) => setTimeout(resolve, PATIENCE_MS)),
    ]);
  }

  want(context: FragmentLoaderContext, answer: Answer): Ticket | null {
    const { frag, part, rangeStart = 0, rangeEnd = 0 } = context;
    const shareable = !part && typeof frag.sn === "number" && (frag.type === "main" || frag.type === "audio");
    if (!shareable || this.#state === "destroyed") return null;
    const run = this.#run;
    if (!run || run.host.dead) {
      this.bypassed(
        context,
        this.#state === "loading" ? "loading" : this.#state === "failed" ? "broken" : "shutdown",
      );
      return null;
    }
    const track = this.#timelines.trackOf(frag);
    const range = byteRangeOf(frag);
    // An I-frame playlist's fragments, for one, are pieces of segments.
    if (!track || (range?.start ?? 0) !== rangeStart || (range?.end ?? 0) !== rangeEnd) {
      this.bypassed(context, "unknown");
      return null;
    }
    const { host, shell } = run;
    // How soon it is needed depends on what is buffered, which may just have changed.
    this.#player.tellPlayhead();
    const request = host.expect(answer);
    host.attempt(() => shell.want(request, track, frag.cc, frag.sn as number));
    return {
      cancel: () => {
        if (host.forget(request)) host.attempt(() => shell.cancel(request));
      },
    };
  }

  bypassed(context: FragmentLoaderContext, reason: Events["bypassed"]["reason"]): void {
    this.events.emit({ type: "bypassed", url: context.url, reason });
  }

  loadedAlone(bytes: number): void {
    this.#bypassedBytes += bytes;
  }

  bandwidthBps(): number {
    return this.#hls.bandwidthEstimate;
  }

  // The engine's life.

  async #boot(loadEngine: () => Promise<Engine>): Promise<void> {
    // Nothing is told before the page could listen.
    await null;
    try {
      const { json, hooks, consentRequired, problems } = this.#parsed;
      if (hooks.rtcConfig && !problems.length && !consentRequired)
        problems.push(...rtcConfigProblems(hooks.rtcConfig));
      if (problems.length) throw new Error(problems.join("\n"));
      const engine = await loadEngine();
      const warnings = await engine.checkOptions(json);
      if (this.#state === "destroyed") return;
      for (const warning of warnings) console.warn(`hlswarm: ${warning}`);
      this.#engine = engine;
      this.#state = "idle";
      if (typeof RTCPeerConnection === "undefined") {
        this.#emit({
          type: "error",
          message: "this browser has no WebRTC: peers cannot be used",
          fatal: false,
        });
        this.#p2p = false;
      }
      this.#startRun();
    } catch (error) {
      if (this.#state !== "destroyed") this.#fail(error);
      throw error;
    }
  }

  #checkRtcConfigLate(): void {
    const { rtcConfig } = this.#parsed.hooks;
    const problems = rtcConfig ? rtcConfigProblems(rtcConfig) : [];
    if (!problems.length) return;
    const message = problems.join("\n");
    console.error(`hlswarm: ${message}`);
    this.#emit({ type: "error", message, fatal: false });
    this.setP2P(false);
  }

  #startRun(): void {
    const engine = this.#engine;
    const swarm = this.#manifest;
    if (
      !engine ||
      !swarm ||
      this.#run ||
      this.#away ||
      this.#state === "failed" ||
      this.#state === "destroyed"
    )
      return;
    const { json, hooks } = this.#parsed;
    const { maxTimeToFirstByteMs, maxLoadTimeMs } = this.#hls.config.fragLoadPolicy.default;
    const host = new Host({
      hooks,
      swarm,
      firstByteLimitMs: maxTimeToFirstByteMs,
      loadLimitMs: maxLoadTimeMs,
      segment: (key) => this.#segment(key),
      request: (key, url, range, signal) => {
        const request = { url, range, signal, fragment: this.#timelines.find(key) };
        return prepareRequest(request, {
          hooks,
          config: this.#hls.config,
          customLoader: this.#customLoader(),
        });
      },
      checkSignature: async (...signed) => (await loadSigned()).checkSignature(...signed),
      event: (event) => this.#emit(event),
      broken: (error) => this.#fail(error),
    });
    host.attempt(() => {
      const seed = crypto.getRandomValues(new Uint8Array(32));
      const shell = new engine.Shell(json, swarm, seed, host);
      this.#run = { swarm, host, shell };
      this.#state = "running";
      const { httpBytes, p2pBytes, uploadedBytes } = this.#before;
      shell.carryOver(httpBytes + p2pBytes, uploadedBytes);
      this.#environment.tell();
      if (this.#p2p !== null) shell.setP2P(this.#p2p);
      this.#tellStreams();
      if (this.#token !== null) shell.setTrackerToken(this.#token);
      if (this.#consent !== null) shell.setConsent(this.#consent);
      this.#player.tell();
      shell.start(Date.now());
    });
  }

  /** Tells the engine of the manifest's streams, if others than viewers of ours are to be found by them. */
  #tellStreams(): void {
    const { interop } = this.#parsed;
    const [manifest, nameOf] = this.#read ?? [];
    const engine = this.#engine;
    if (!interop || !manifest || !nameOf || !engine) return;
    const { version, swarmId } = interop;
    const swarmIdOf = (url: string) => swarmId ?? withoutQuery(url);
    this.#tell((shell) => {
      engine.full?.tellStreams(shell, version, swarmIdOf, manifest, (kind, url) =>
        engine.trackId(nameOf(kind, url)),
      );
    });
  }

  #stopRun(): void {
    const run = this.#run;
    if (!run) return;
    this.#before = addTotals(this.#before, { ...this.#snapshot(), ...NO_PEERS });
    this.#last = NO_STATS;
    this.#run = null;
    this.#sidecars?.then((sidecars) => sidecars.stop()).catch(() => {});
    this.#sidecars = null;
    if (this.#state === "running") this.#state = "idle";
    const { host, shell } = run;
    if (host.dead) return;
    host.attempt(() => shell.shutdown());
    host.failAll("shutdown");
    queueMicrotask(() => {
      host.close();
      if (!host.dead) shell.free();
    });
  }

  #fail(error: unknown): void {
    this.#state = "failed";
    const message = error instanceof Error ? error.message : String(error);
    console.error(`hlswarm: ${message}\nhls.js plays on without it.`, error);
    this.#emit({ type: "error", message, fatal: true });
  }

  #leave(forGood: boolean): void {
    this.#away = true;
    if (forGood) this.#run?.host.forgetAll();
    this.#stopRun();
  }

  #comeBack(): void {
    this.#away = false;
    this.#startRun();
  }

  #snapshot(): EngineStats {
    const run = this.#run;
    if (run && !run.host.dead) this.#last = JSON.parse(run.shell.stats() ?? "null") ?? this.#last;
    else if (run) this.#last = { ...this.#last, ...NO_PEERS };
    return this.#last;
  }

  #tell(call: (shell: Shell) => void): void {
    const run = this.#run;
    run?.host.attempt(() => call(run.shell));
  }

  /** With signed records: fetches those of a playlist. */
  #loadRecords(playlist: string, live: boolean): void {
    const { integrity } = this.#options;
    if (integrity?.mode !== "signed" || this.#state !== "running") return;
    this.#sidecars ??= loadSigned().then(
      ({ Sidecars }) =>
        new Sidecars(
          integrity.sidecar,
          {
            records: (bytes) => this.#tell((shell) => this.#engine?.full?.sidecar(shell, bytes)),
            missing: (reason) => this.#emit({ type: "recordsRefused", reason }),
          },
          (url, signal) => this.#sidecarRequest(url, signal),
        ),
    );
    this.#sidecars.then(
      (sidecars) => sidecars.load(playlist, live),
      (error: unknown) => this.#emit({ type: "recordsRefused", reason: String(error) }),
    );
  }

  /** As segments are asked for; a loader class of the page's is for what hls.js knows. */
  #sidecarRequest(url: string, signal: AbortSignal): Request | Promise<Request> {
    const hooks = { hooks: this.#parsed.hooks, config: this.#hls.config, customLoader: null };
    return prepareRequest({ url, range: null, fragment: undefined, signal }, hooks) as
      | Request
      | Promise<Request>;
  }

  #emit(event: Event): void {
    this.events.emit(event);
  }

  #segment(key: string): SegmentInfo {
    const fragment = this.#timelines.find(key);
    const byteRange = fragment && byteRangeOf(fragment);
    return { key, url: fragment?.url ?? "", ...(byteRange ? { byteRange } : {}) };
  }

  #ownLoader(): LoaderClass {
    return this.#ownLoaders.fLoader ?? (this.#hls.config.loader as unknown as LoaderClass);
  }

  /** A loader class that the page brought. */
  #customLoader(): LoaderClass | null {
    const { config } = this.#hls;
    if (this.#ownLoaders.fLoader) return this.#ownLoaders.fLoader;
    const usual = (this.#hls.constructor as typeof Hls).DefaultConfig?.loader;
    if (config.progressive || !usual || config.loader === usual) return null;
    return config.loader as unknown as LoaderClass;
  }
}

/** What only pages with signed records need is loaded when they do. */
const loadSigned = () => import("./signed.js");

const NO_PEERS = { peers: 0, peerList: [], trackers: [], swarmSize: 0, httpDownloads: 0, p2pDownloads: 0 };

function tellTimeline(shell: Shell, { track, audio, live, bitrateBps, numbers, urls }: TimelineUpdate): void {
  shell.timeline(track, audio, live, bitrateBps, numbers, urls);
}
