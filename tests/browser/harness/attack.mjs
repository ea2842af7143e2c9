// Plays attacks of `page/attacks.mjs` against a viewer.
import { rendererOf } from "./chromium.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The swarms that a viewer has announced itself in: `[{ infoHash, victim }]`, its own first. */
export async function swarmsOf(viewer) {
  const sent = await viewer.eval(() => window.watch.sent);
  const swarms = new Map();
  for (const { info_hash: infoHash, peer_id: victim } of sent.map((text) => JSON.parse(text)))
    if (infoHash && !swarms.has(infoHash)) swarms.set(infoHash, { infoHash, victim });
  return [...swarms.values()];
}

/**
 * Plays attacks from a page of their own, or from `page`.
 *
 * @param names,beside see `playAttacks`
 * @param functions what the attacks may call as functions of their `window`
 * @param more what else they are given
 */
export async function attack(world, victim, url, { names, beside = [], functions = {}, page, ...more }) {
  const hostile = page ?? (await world.open("hostile", { prepare: null }));
  for (const [name, answer] of Object.entries(functions)) await hostile.page.exposeFunction(name, answer);
  const { events } = await victim.report();
  const { track } = events.find(({ name }) => name === "segmentLoaded").event.key;
  const [swarm] = await swarmsOf(victim);
  return hostile.eval(
    async (given) => {
      const { playAttacks } = await import("/page/hostile.mjs");
      const { attacks } = await import("/page/attacks.mjs");
      return playAttacks(attacks, given);
    },
    {
      tracker: world.tracker.url,
      ...swarm,
      patienceMs: 60_000,
      track,
      segments: await world.segmentsOf(url),
      names,
      beside,
      ...more,
    },
  );
}

/**
 * A page whose process can be stopped for seven seconds: it reads nothing then and acknowledges nothing.
 *
 * @returns `{ page, standStill(), seen }`; `seen.mostUnsent` is the most that waited in a channel of the victim meanwhile
 */
export async function openDeaf(world, victim) {
  const page = await world.open("deaf", { prepare: null });
  const pid = await rendererOf(world.browser, page.page);
  const seen = { mostUnsent: 0 };
  const unsent = () =>
    victim.eval(() => Math.max(...window.watch.channels.map(({ bufferedAmount }) => bufferedAmount)));
  async function standStill() {
    process.kill(pid, "SIGSTOP");
    try {
      for (let n = 0; n < 70; n++) {
        seen.mostUnsent = Math.max(seen.mostUnsent, await unsent());
        await sleep(100);
      }
    } finally {
      process.kill(pid, "SIGCONT");
    }
  }
  return { page, standStill, seen };
}
