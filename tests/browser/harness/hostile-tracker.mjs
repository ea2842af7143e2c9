// A tracker that means harm: whatever a page tells it, it answers as the test says.
import { WebSocketServer } from "ws";

/** 20 characters that no viewer has for its id. */
const invented = (n) => `-XX0000-${String(n).padStart(12, "0")}`;

/** Texts that are no reply to anything. */
const nonsense = () => [
  "",
  "null",
  "[]",
  "{",
  '{"action":1}',
  "\u0000",
  "[".repeat(30_000),
  `"${"x".repeat(1_000_000)}"`,
  JSON.stringify({ action: "announce", interval: -1 }),
  JSON.stringify({ action: "announce", interval: 1e99, complete: "many", incomplete: {} }),
  Buffer.from([1, 2, 3]),
  Buffer.alloc(100_000, 7),
];

/** What it does with each announce: a list of messages. */
const answers = {
  nonsense,

  /** Says to come back at once, and counts more viewers than there are people. */
  haste: ({ info_hash }) =>
    [0, 1, 0.001].map((interval) =>
      JSON.stringify({
        action: "announce",
        info_hash,
        interval,
        "min interval": interval,
        complete: 2 ** 40,
        incomplete: 2 ** 53,
      }),
    ),

  /** Offers of viewers who do not exist, in the page's own words or in too many. */
  offers({ info_hash, offers }, count) {
    const sdp = offers?.[0]?.offer.sdp ?? "v=0\r\n";
    const odd = [
      sdp,
      "v=0\r\n",
      "x".repeat(5000),
      sdp + "a=x\r\n".repeat(20_000),
      sdp + "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(21),
    ];
    return Array.from({ length: 100 }, (_, n) =>
      JSON.stringify({
        action: "announce",
        info_hash,
        peer_id: invented(count * 100 + n),
        offer_id: `offer ${count} ${n}`,
        offer: { type: "offer", sdp: odd[n % odd.length] },
      }),
    );
  },

  /** Answers to each offer, several, and to offers that were never made; candidates without end. */
  answers({ info_hash, offers = [] }, count) {
    const ids = [...offers.map(({ offer_id }) => offer_id), "never made"];
    return ids.flatMap((offer_id, n) => {
      const from = { info_hash, peer_id: invented(1e6 + count * 100 + n), offer_id };
      const candidates = Array(50).fill({
        candidate: "candidate:1 1 udp 1 192.0.2.1 1 typ host",
        sdpMid: "0",
      });
      return [
        ...["v=0\r\n", "x".repeat(100_000), offers[0]?.offer.sdp ?? ""].map((sdp) =>
          JSON.stringify({ action: "announce", ...from, answer: { type: "answer", sdp } }),
        ),
        ...Array(20).fill(JSON.stringify({ action: "candidates", ...from, candidates })),
      ];
    });
  },

  refusals: ({ info_hash }) =>
    Array(50).fill(JSON.stringify({ action: "announce", info_hash, "failure reason": "x".repeat(50_000) })),
};

/** The names of what it can do; "hangs up" closes every connection as soon as it is open. */
export const harms = [...Object.keys(answers), "hangs up"];

/**
 * Starts it.
 *
 * @returns `{ url, connections, announces, do(harm), close() }`: `connections` and `announces` count; `do` says what it
 *   does from now on
 */
export async function startHostileTracker() {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await new Promise((resolve) => server.once("listening", resolve));
  let harm = "nonsense";
  const state = {
    url: `ws://127.0.0.1:${server.address().port}/`,
    connections: 0,
    announces: 0,
    last: undefined,
    do(next) {
      harm = next;
      for (const socket of server.clients) {
        if (harm === "hangs up") socket.close();
        else if (state.last) say(socket, state.last);
      }
    },
    close() {
      for (const socket of server.clients) socket.terminate();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  function say(socket, announce) {
    for (const message of answers[harm](announce, state.announces)) socket.send(message);
  }
  server.on("connection", (socket) => {
    state.connections++;
    socket.on("error", () => {});
    if (harm === "hangs up") return socket.close();
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      if (message.action !== "announce" || message.answer) return;
      state.announces++;
      if (message.offers?.length || !state.last) state.last = message;
      // Once it counts as a tracker: what a page takes from one that never replied is another matter.
      socket.send(
        JSON.stringify({
          action: "announce",
          info_hash: message.info_hash,
          interval: 120,
          complete: 0,
          incomplete: 50,
        }),
      );
      say(socket, message);
    });
  });
  return state;
}
