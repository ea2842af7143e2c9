// A WebSocket client that announces, as tests of the tracker need it.
import { once } from "node:events";
import { WebSocket } from "ws";

const patienceMs = 30_000;

/** Waits until `done` gives something true; gives that. */
export async function until(done, what, withinMs = patienceMs) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const result = await done();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Connects to a tracker as `name` in `swarm` (twenty characters). */
export async function connectViewer(url, name, swarm) {
  const socket = new WebSocket(url);
  const peerId = name.padEnd(20, "-");
  const messages = [];
  socket.on("message", (data) => messages.push(JSON.parse(data)));
  socket.on("error", () => {});
  await once(socket, "open");
  const send = (message) =>
    socket.send(JSON.stringify({ action: "announce", info_hash: swarm, peer_id: peerId, ...message }));
  /** Takes the first message that fits. */
  const take = (fits, what, withinMs) =>
    until(
      () => {
        const place = messages.findIndex(fits);
        return place >= 0 && messages.splice(place, 1)[0];
      },
      `${name}: ${what}`,
      withinMs,
    );
  let offers = 0;
  return {
    peerId,
    messages,
    take,
    /** Announces with some offers; gives the reply. */
    async announce(count = 0) {
      const list = Array.from({ length: count }, () => ({
        offer_id: `${name}-${++offers}`,
        offer: { type: "offer", sdp: `v=0 of ${name}\r\n` },
      }));
      send({ numwant: count, offers: list });
      return take((message) => "interval" in message, "a reply");
    },
    /** Announces until the reply counts `members`. */
    size: (members, withinMs) =>
      until(
        async () => {
          send({ numwant: 0, offers: [] });
          const reply = await take((message) => "interval" in message, "a reply");
          return reply.complete + reply.incomplete === members;
        },
        `${name} sees ${members} members`,
        withinMs,
      ),
    offer: (withinMs) => take((message) => message.offer, "an offer", withinMs),
    answerTo: (withinMs) => take((message) => message.answer, "an answer", withinMs),
    answer(offer) {
      send({
        to_peer_id: offer.peer_id,
        offer_id: offer.offer_id,
        answer: { type: "answer", sdp: `v=0 from ${name}\r\n` },
      });
    },
    close: () => socket.terminate(),
  };
}

/** `from` offers until one of its offers reaches `to`, which answers; the answer comes back. */
export async function meet(from, to) {
  const mine = (message) => message.offer && message.peer_id === from.peerId;
  await until(async () => {
    await from.announce(2);
    return to.messages.some(mine) || (await new Promise((resolve) => setTimeout(resolve, 100)));
  }, "an offer comes through");
  const offer = await to.take(mine, "the offer");
  to.answer(offer);
  const answer = await from.take(
    (message) => message.answer && message.offer_id === offer.offer_id,
    "the answer",
  );
  if (answer.peer_id !== to.peerId) throw new Error(`an answer of ${answer.peer_id}`);
}
