// A hostile peer: joins a swarm through the tracker as any client would, then breaks the rules of docs/wire.md.

const text = (value) => [...value].map((character) => character.charCodeAt(0));
const u32 = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const bytes = (...parts) => new Uint8Array(parts.flat());
const filled = (length, value) => new Array(length).fill(value);
const random = (length) => [...crypto.getRandomValues(new Uint8Array(length))];

const hello = (swarm, peerId) => bytes(0x01, 1, 1, u32(3), text(swarm), text(peerId), u32(65535));
const request = (transfer) =>
  bytes(0x04, u32(transfer), filled(16, 7), u32(transfer), filled(8, 0), u32(0), u32(0));

/** Each attack runs when the channel is open. */
const attacks = {
  noise: ({ send }) => send(bytes(0x7f, random(5000))),
  "a text message": ({ channel }) => channel.send("hello"),
  "an empty message": ({ send }) => send(bytes()),
  "a control frame that is too long": ({ send }) => send(bytes(0x02, filled(6000, 255))),
  "a hello of another swarm": ({ send, peerId }) => send(hello("another-swarm-000000", peerId)),
  "a request before hello": ({ send }) => send(request(1)),
  "a truncated frame": ({ send, swarm, peerId }) => {
    send(hello(swarm, peerId));
    send(request(1).slice(0, 20));
  },
  "data nobody asked for": ({ send, swarm, peerId }) => {
    send(hello(swarm, peerId));
    for (let i = 0; i < 10; i++) send(bytes(0x00, u32(i), u32(0), filled(60_000, 42)));
  },
  "a flood of requests": ({ send, swarm, peerId }) => {
    send(hello(swarm, peerId));
    for (let i = 1; i <= 1000; i++) send(request(i));
  },
  "a flood of announcements": ({ send, swarm, peerId }) => {
    send(hello(swarm, peerId));
    for (let i = 0; i < 1000; i++)
      send(bytes(0x02, filled(8, 1), u32(0), filled(8, 0), filled(256, i & 255)));
  },
  silence: () => {},
};

/** Runs all attacks, one after the other; only the silent peer waits beside them. */
export async function attackAll(given) {
  let silent;
  const silentIsThere = new Promise((resolve) => {
    silent = attack("silence", { ...given, joined: resolve });
  });
  await Promise.race([silentIsThere, silent]);
  const results = [];
  for (const name of Object.keys(attacks)) {
    results.push(await (name === "silence" ? silent : attack(name, given)));
  }
  return results;
}

/**
 * Joins the swarm and attacks the first peer that answers.
 *
 * @returns `{ opened, closed }`: whether a channel came about, and how many milliseconds after the attack the victim
 *   closed it (`undefined` if it did not in time)
 */
async function attack(name, { tracker, infoHash, patienceMs, joined }) {
  const peerId = `-HS0100-${[...crypto.getRandomValues(new Uint8Array(12))].map((value) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value % 26]).join("")}`;
  const connection = new RTCPeerConnection({ iceServers: [] });
  const channel = connection.createDataChannel("hostile", { ordered: true });
  channel.binaryType = "arraybuffer";
  await connection.setLocalDescription();
  await new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.addEventListener("icegatheringstatechange", look);
    look();
  });
  const offer = { type: "offer", sdp: connection.localDescription.sdp };
  const socket = new WebSocket(tracker);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("the tracker cannot be reached"));
  });
  socket.onmessage = ({ data }) => {
    const { answer } = JSON.parse(data);
    if (answer) connection.setRemoteDescription(answer);
  };
  const opened = new Promise((resolve) => (channel.onopen = () => resolve(true)));
  const closed = new Promise((resolve) => (channel.onclose = () => resolve(performance.now())));
  socket.send(
    JSON.stringify({
      action: "announce",
      event: "started",
      info_hash: infoHash,
      peer_id: peerId,
      numwant: 1,
      uploaded: 0,
      downloaded: 0,
      left: 1,
      offers: [{ offer, offer_id: peerId }],
    }),
  );
  const late = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const result = { name, opened: false, closedAfterMs: undefined };
  if (await Promise.race([opened, late(patienceMs)])) {
    result.opened = true;
    // Nobody else is to be given to this one.
    socket.close();
    joined?.();
    const startedAt = performance.now();
    const send = (data) => channel.readyState === "open" && channel.send(data);
    attacks[name]({ channel, send, swarm: infoHash, peerId });
    const at = await Promise.race([closed, late(patienceMs)]);
    if (at) result.closedAfterMs = at - startedAt;
  }
  socket.close();
  connection.close();
  return result;
}
