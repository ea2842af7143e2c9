// A hostile peer: joins a swarm through the tracker as any client would, then breaks the rules of docs/wire.md.
import { frames, read, types } from "./wire.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An id as viewers have them, or as those of p2p-media-loader have. */
export const makePeerId = (client = "HS0100") =>
  `-${client}-${[...crypto.getRandomValues(new Uint8Array(12))].map((value) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value % 26]).join("")}`;

/** One link to a victim. */
export class Attacker {
  /** Everything that the victim said, parsed. */
  heard = [];
  opened = false;
  closed = false;
  closedAt;
  /** Whether it answers pings. */
  answersPings = true;
  #waiting = new Set();

  constructor(given, peerId) {
    Object.assign(this, given);
    this.peerId = peerId;
  }

  /**
   * Joins the swarm and links with the victim; nothing has been said yet.
   *
   * @param given `{ tracker, infoHash, victim, patienceMs }`: where, and the peer id of the one that is attacked
   */
  static async join(given, { peerId = makePeerId() } = {}) {
    const attacker = new Attacker(given, peerId);
    await attacker.#link();
    return attacker;
  }

  async #link() {
    const connection = new RTCPeerConnection({ iceServers: [] });
    this.connection = connection;
    this.channel = connection.createDataChannel("hostile", { ordered: true });
    this.channel.binaryType = "arraybuffer";
    this.channel.onmessage = ({ data }) => this.#hear(read(data));
    this.channel.onclose = () => {
      this.closed = true;
      this.closedAt = performance.now();
      this.#look();
    };
    await connection.setLocalDescription();
    while (connection.iceGatheringState !== "complete")
      await new Promise((resolve) =>
        connection.addEventListener("icegatheringstatechange", resolve, { once: true }),
      );
    const offer = { type: "offer", sdp: connection.localDescription.sdp };
    const socket = new WebSocket(this.tracker);
    socket.onmessage = ({ data }) => {
      const { answer, peer_id } = JSON.parse(data);
      // Whoever else got an offer waits in vain.
      if (answer && peer_id === this.victim && connection.signalingState === "have-local-offer")
        connection.setRemoteDescription(answer).catch(() => {});
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("the tracker cannot be reached"));
    });
    // The tracker hands each offer to some member; the victim may get none of them at first.
    let announces = 0;
    const announce = () =>
      socket.readyState === WebSocket.OPEN &&
      connection.signalingState === "have-local-offer" &&
      socket.send(
        JSON.stringify({
          action: "announce",
          event: announces++ ? undefined : "started",
          info_hash: this.infoHash,
          peer_id: this.peerId,
          numwant: 10,
          uploaded: 0,
          downloaded: 0,
          left: 1,
          offers: Array.from({ length: 10 }, (_, n) => ({
            offer,
            offer_id: `${this.peerId}${announces} ${n}`,
          })),
        }),
      );
    announce();
    const again = setInterval(announce, 2000);
    const opened = new Promise((resolve) => (this.channel.onopen = () => resolve(true)));
    this.opened = await Promise.race([opened, sleep(this.patienceMs)]).then(Boolean);
    clearInterval(again);
    // Nobody else is to be given to this one.
    socket.close();
    this.openedAt = performance.now();
  }

  #hear(frame) {
    this.heard.push(frame);
    if (frame.type === types.ping && this.answersPings) this.send(frames.pong(frame.number));
    this.onFrame?.(frame);
    this.#look();
  }

  #look() {
    for (const look of this.#waiting) look();
  }

  send(message) {
    if (this.channel.readyState === "open") this.channel.send(message);
  }

  hello() {
    this.send(frames.hello(this.infoHash, this.peerId));
  }

  /** Waits for `probe()` to be true, whenever something is heard or the link is closed; false when it never was. */
  async until(probe, timeoutMs = this.patienceMs) {
    if (probe()) return true;
    let look;
    const seen = new Promise((resolve) => {
      look = () => probe() && resolve(true);
      this.#waiting.add(look);
    });
    const found = await Promise.race([seen, sleep(timeoutMs)]);
    this.#waiting.delete(look);
    return Boolean(found) || probe();
  }

  /** The frames of a type that were heard. */
  of(type) {
    return this.heard.filter((frame) => frame.type === type);
  }

  /** Waits for the nth frame of a type (from 0) and returns it. */
  async nth(type, n = 0) {
    await this.until(() => this.of(type).length > n || this.closed);
    return this.of(type)[n];
  }

  leave() {
    this.channel.onclose = null;
    this.connection.close();
  }
}

/**
 * Plays attacks.
 *
 * @param names those that run one after the other; each of `beside` runs beside all of them
 * @returns for each `{ name, peerId, opened, closedAfterMs, ...what the attack tells }`; `closedAfterMs` is undefined
 *   when the victim did not close the link
 */
export async function playAttacks(attacks, { names, beside, ...given }) {
  const play = async (name) => {
    const { attack, joins = true } = attacks[name];
    if (!joins) return { name, opened: true, ...(await attack(given)) };
    const client = name.startsWith("stock:") ? "PM0203" : undefined;
    const attacker = await Attacker.join(given, { peerId: makePeerId(client) });
    const result = { name, peerId: attacker.peerId, opened: attacker.opened };
    const startedAt = performance.now();
    if (attacker.opened) Object.assign(result, await attack(attacker));
    if (attacker.closed) result.closedAfterMs = attacker.closedAt - startedAt;
    attacker.leave();
    return result;
  };
  const others = beside.map(play);
  const results = [];
  for (const name of names) results.push(await play(name));
  return [...results, ...(await Promise.all(others))];
}
