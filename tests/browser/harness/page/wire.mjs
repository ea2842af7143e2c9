// The wire of docs/wire.md, as far as a script needs it that speaks to a viewer, well or badly.

export const text = (value) => [...value].map((character) => character.charCodeAt(0));
const u32 = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const u64 = (value) => [...u32(Math.floor(value / 2 ** 32)), ...u32(value >>> 0)];
const hex = (digits) => digits.match(/../g).map((pair) => Number.parseInt(pair, 16));

/** A message out of numbers and lists of numbers. */
export const bytes = (...parts) => new Uint8Array(parts.flat());
export const filled = (length, value) => new Array(length).fill(value);
export const random = (length) => [...crypto.getRandomValues(new Uint8Array(length))];

/** A segment's key: its track in hexadecimal digits, as events name it. */
export const keyOf = (track, sequence, discontinuity = 0) => [
  ...hex(track),
  ...u32(discontinuity),
  ...u64(sequence),
];

export const types = {
  hello: 0x01,
  request: 0x04,
  accept: 0x05,
  refuse: 0x06,
  cancel: 0x07,
  ping: 0x08,
  goodbye: 0x0a,
};
export const reasons = { absent: 1, busy: 2, notSharing: 3, aborted: 4, rateLimited: 5 };

/** Largest message that these frames say they take. */
const largestMessage = 65_535;

export const frames = {
  hello: (swarm, peerId, capabilities = 3) =>
    bytes(0x01, 1, 1, u32(capabilities), text(swarm), text(peerId), u32(largestMessage)),
  /** All of `count` segments from the key on. */
  have: (key, count) => bytes(0x02, key, filled(Math.floor(count / 8), 255), (1 << (count % 8)) - 1),
  /** One segment, loaded. */
  haveDelta: (key) => bytes(0x03, key, 1, 3),
  request: (transfer, key, at = 0, length = 0) =>
    bytes(types.request, u32(transfer), key, u64(0), u32(at), u32(length)),
  accept: (transfer, total) => bytes(types.accept, u32(transfer), u32(total)),
  refuse: (transfer, reason) => bytes(types.refuse, u32(transfer), reason),
  cancel: (transfer) => bytes(types.cancel, u32(transfer)),
  ping: (number) => bytes(types.ping, u32(number)),
  pong: (number) => bytes(0x09, u32(number)),
  goodbye: (reason) => bytes(types.goodbye, reason),
  interest: (key, playing, wanted) => bytes(0x0b, key.slice(0, 8), u64(playing), u64(wanted), 1),
  data: (transfer, at, payload) => {
    const message = new Uint8Array(9 + payload.length);
    message.set([0x00, ...u32(transfer), ...u32(at)]);
    message.set(payload, 9);
    return message;
  },
};

/** Reads what a viewer sent: `{ type, ... }`, with the fields that a script answers to. */
export function read(buffer) {
  const view = new DataView(buffer);
  const type = view.getUint8(0);
  switch (type) {
    case 0x00:
      return { type, transfer: view.getUint32(1), at: view.getUint32(5), length: view.byteLength - 9 };
    case types.request:
      return {
        type,
        transfer: view.getUint32(1),
        track: [...new Uint8Array(buffer, 5, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
        sequence: Number(view.getBigUint64(17)),
        at: view.getUint32(33),
        length: view.getUint32(37),
      };
    case types.accept:
      return { type, transfer: view.getUint32(1), total: view.getUint32(5) };
    case types.refuse:
      return { type, transfer: view.getUint32(1), reason: view.getUint8(5) };
    case types.cancel:
      return { type, transfer: view.getUint32(1) };
    case types.ping:
      return { type, number: view.getUint32(1) };
    case types.goodbye:
      return { type, reason: view.getUint8(1) };
    default:
      return { type };
  }
}
