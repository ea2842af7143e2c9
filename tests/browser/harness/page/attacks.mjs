// What hostile peers do, row by row of the table in SECURITY.md. Each attack is given a link that has just opened.
import { Attacker, makePeerId } from "./hostile.mjs";
import { bytes, filled, frames, keyOf, random, reasons, text, types } from "./wire.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Segments of the stream, and more than any of them has bytes. */
const everySegment = 100;

/** Says hello and claims the whole stream. */
function claimAll(attacker) {
  attacker.hello();
  attacker.send(frames.have(keyOf(attacker.track, 0), everySegment));
}

/** Claims the whole stream, and gives the first request. */
async function isAsked(attacker) {
  claimAll(attacker);
  const asked = await attacker.nth(types.request);
  if (!asked) throw new Error("it was not asked for anything");
  return asked;
}

/** The bytes of a segment. */
async function bytesOf({ url, start, end }) {
  const headers = end ? { Range: `bytes=${start}-${end - 1}` } : {};
  return new Uint8Array(await (await fetch(url, { headers })).arrayBuffer());
}

/** Serves whatever it is asked for, in bytes as `change` makes them. */
function serve(attacker, change = (segment) => segment) {
  attacker.onFrame = async ({ type, transfer, sequence, at, length }) => {
    if (type !== types.request) return;
    const segment = change(await bytesOf(attacker.segments[sequence]));
    attacker.send(frames.accept(transfer, segment.length));
    const end = length ? Math.min(segment.length, at + length) : segment.length;
    for (let from = at; from < end; from += 60_000)
      attacker.send(frames.data(transfer, from, segment.subarray(from, Math.min(end, from + 60_000))));
  };
}

const isClosed = (attacker) => attacker.until(() => attacker.closed);

/** Sends some messages and waits until the victim closes the link. */
const sends =
  (...make) =>
  async (attacker) => {
    for (const message of make) attacker.send(message(attacker));
    await isClosed(attacker);
  };

/** Says hello, sends as many messages, and waits until the victim closes the link. */
const floods = (count, make) => async (attacker) => {
  attacker.hello();
  for (let n = 0; n < count; n++) for (const message of [make(n, attacker)].flat()) attacker.send(message);
  await isClosed(attacker);
};

const someKey = (attacker) => keyOf(attacker.track, 3);

/** By the name of the row in `tests/hostile_peers.rs`, and a word more where a row has several attacks. */
export const attacks = {
  malformed_frame: { attack: sends(() => bytes(0x0c)) },
  "malformed_frame: noise": { attack: sends(() => bytes(0x7f, random(5000))) },
  "malformed_frame: a text": { attack: sends(() => "hello") },
  "malformed_frame: nothing": { attack: sends(() => bytes()) },
  "malformed_frame: a second channel": {
    async attack(attacker) {
      attacker.hello();
      await attacker.nth(types.hello);
      const { connection } = attacker;
      const more = connection.createDataChannel("more");
      more.onopen = () => more.send(new Uint8Array(50_000));
      await isClosed(attacker);
    },
  },
  "malformed_frame: a request before hello": {
    attack: sends((attacker) => frames.request(1, someKey(attacker))),
  },
  truncated_frame: {
    attack: floods(1, (_, attacker) => frames.request(1, someKey(attacker)).slice(0, 20)),
  },
  control_message_size: {
    async attack(attacker) {
      attacker.hello();
      attacker.send(bytes(filled(4096, 0xfe)));
      // Signed records, and malformed ones: the usual engine knows nothing of them.
      attacker.send(bytes([0x81, 1, 200]));
      attacker.send(frames.ping(7));
      const skipped = await attacker.until(() => attacker.heard.some(({ type }) => type === 0x09));
      attacker.send(bytes(filled(4097, 0xfe)));
      await isClosed(attacker);
      return { skipped };
    },
  },
  data_message_size: {
    async attack(attacker) {
      const { transfer, at } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 150_000));
      attacker.send(frames.data(transfer, at, filled(65_535 - 9 + 1, 42)));
      await isClosed(attacker);
    },
  },
  oversize_claim: {
    async attack(attacker) {
      const { transfer } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 15_000_000));
      const givenUp = await attacker.until(() =>
        attacker.of(types.cancel).some((it) => it.transfer === transfer),
      );
      const next = await attacker.nth(types.request, 1);
      attacker.send(frames.accept(next.transfer, 16 * 1024 * 1024 + 1));
      await isClosed(attacker);
      return { givenUp };
    },
  },
  a_claim_that_changes: {
    async attack(attacker) {
      const { transfer } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 150_000));
      attacker.send(frames.accept(transfer, 155_000));
      await isClosed(attacker);
    },
  },
  slow_peer: {
    async attack(attacker) {
      const cancelled = (transfer) => attacker.of(types.cancel).some((it) => it.transfer === transfer);
      attacker.onFrame = async ({ type, transfer, at }) => {
        if (type !== types.request) return;
        attacker.send(frames.accept(transfer, 150_000));
        for (let n = 0; !cancelled(transfer) && !attacker.closed && n < 300; n++) {
          attacker.send(frames.data(transfer, at + n * 10, filled(10, 42)));
          await sleep(100);
        }
      };
      claimAll(attacker);
      // It is cancelled at the latest when the player needs the segment; twice may be chance.
      const left = await attacker.until(() => attacker.of(types.cancel).length >= 2 || attacker.closed);
      return { left, asked: attacker.of(types.request).length };
    },
  },
  unrequested_data: {
    attack: floods(6, (n) => frames.data(n, 0, filled(60_000, 42))),
  },
  lying_availability: {
    async attack(attacker) {
      attacker.onFrame = ({ type, transfer }) => {
        if (type === types.request) attacker.send(frames.refuse(transfer, reasons.absent));
      };
      claimAll(attacker);
      await attacker.until(() => attacker.of(types.request).length >= 3);
      const asked = attacker.of(types.request).length;
      attacker.send(frames.have(keyOf(attacker.track, 0), everySegment));
      await sleep(5000);
      return { asked, askedLater: attacker.of(types.request).length - asked };
    },
  },
  availability_flood: {
    attack: floods(400, (n, attacker) => frames.haveDelta(keyOf(attacker.track, n % 50))),
  },
  availability_without_end: {
    async attack(attacker) {
      attacker.hello();
      for (let track = 0; track < 90; track++) {
        const name = (0x1000 + track).toString(16).padStart(16, "0");
        attacker.send(frames.have(keyOf(name, 0), 2040));
        if (track > 40) await sleep(120);
      }
      // Whoever does not know how many segments it has may look while it is there.
      return { segments: await window.segmentsClaimedBy(attacker.peerId) };
    },
  },
  request_flood: {
    async attack(attacker) {
      await floods(200, (n) => frames.request(n, someKey(attacker)))(attacker);
      const refusals = attacker.of(types.refuse).filter(({ reason }) => reason === reasons.rateLimited);
      return { rateLimited: refusals.length };
    },
  },
  cancel_storm: { attack: floods(200, (n) => frames.cancel(n)) },
  request_numbers: {
    async attack(attacker) {
      const { transfer } = await isAsked(attacker);
      for (const number of [7, 9]) attacker.send(frames.request(number, someKey(attacker)));
      await isClosed(attacker);
      return { firstNumber: transfer };
    },
  },
  answers_to_nothing: { attack: floods(300, (n) => frames.accept(n, 1)) },
  chatter: {
    async attack(attacker) {
      await floods(300, (n) => [frames.ping(n), frames.interest(someKey(attacker), n, n)])(attacker);
      return { pongs: attacker.of(0x09).length };
    },
  },
  silence_before_hello: { attack: sends() },
  silence_after_hello: {
    async attack(attacker) {
      attacker.answersPings = false;
      attacker.hello();
      await isClosed(attacker);
      return { pings: attacker.of(types.ping).length };
    },
  },
  another_hello: {
    attack: floods(2, (n, { infoHash, peerId }) => frames.hello(infoHash, n ? makePeerId() : peerId)),
  },
  "another_hello: of another swarm": {
    attack: sends(({ peerId }) => frames.hello("another-swarm-000000", peerId)),
  },
  "another_hello: of whom the tracker did not tell": {
    attack: sends(({ infoHash }) => frames.hello(infoHash, makePeerId())),
  },
  connections: {
    joins: false,
    async attack(given) {
      const attackers = [];
      let most = 0;
      // A few at a time: more than eight on their way are not taken.
      for (let n = 0; n < 8; n++) {
        const some = await Promise.all(
          [0, 1, 2, 3, 4].map(() => Attacker.join({ ...given, patienceMs: 3000 })),
        );
        for (const attacker of some.filter(({ opened }) => opened)) attacker.hello();
        attackers.push(...some);
        await sleep(100);
        most = Math.max(most, await window.peersOfVictim());
      }
      const tried = attackers.length;
      const open = attackers.filter(({ opened, closed }) => opened && !closed).length;
      for (const attacker of attackers) attacker.leave();
      return { tried, open, most };
    },
  },
  bad_data: {
    async attack(attacker) {
      serve(attacker, (segment) => segment.fill(42));
      claimAll(attacker);
      await isClosed(attacker);
      // Nor by another link.
      const again = await Attacker.join({ ...attacker, patienceMs: 3000 }, { peerId: attacker.peerId });
      if (again.opened) {
        again.hello();
        await again.until(() => again.closed, 3000);
      }
      const back = again.opened && !again.closed;
      again.leave();
      return { back };
    },
  },
  link_lost_in_the_middle: {
    async attack(attacker) {
      const { transfer, at } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 150_000));
      attacker.send(frames.data(transfer, at, filled(40_000, 42)));
      await sleep(200);
      attacker.leave();
    },
  },
  goodbye: {
    async attack(attacker) {
      const { transfer, at } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 150_000));
      attacker.send(frames.data(transfer, at, filled(40_000, 42)));
      attacker.send(frames.goodbye(1));
      await isClosed(attacker);
    },
  },
  send_buffer: {
    async attack(attacker) {
      attacker.hello();
      // All that the victim may have, within what may be outstanding.
      for (let n = 0; n < 16; n++)
        attacker.send(frames.request(n, keyOf(attacker.track, n + attacker.firstKept)));
      await attacker.until(() => attacker.heard.some(({ type }) => type === 0x00));
      const busy = () => attacker.of(types.refuse).filter(({ reason }) => reason === reasons.busy).length;
      const before = busy();
      // The test stops this process for a while here.
      await window.standStill();
      await attacker.until(() => busy() > before || attacker.closed);
      return {
        busy: busy() - before,
        received: attacker.of(0x00).reduce((sum, { length }) => sum + length, 0),
      };
    },
  },
  /** Takes places and does no harm, until it has to make room. */
  places: {
    joins: false,
    async attack(given) {
      const attackers = [];
      for (let n = 0; n < given.places; n++) attackers.push(await Attacker.join(given));
      for (const attacker of attackers) attacker.hello();
      await Promise.any(
        attackers.map(async (attacker) => {
          if (!(await attacker.until(() => attacker.closed, 90_000))) throw new Error("it stays");
        }),
      ).catch(() => {});
      const replaced = attackers.filter((it) =>
        it.of(types.goodbye).some(({ reason }) => reason === 3),
      ).length;
      for (const attacker of attackers) attacker.leave();
      return { replaced };
    },
  },
  /** As a viewer of p2p-media-loader: a command in parts that never ends. */
  "stock: a command without end": {
    async attack(attacker) {
      attacker.send(bytes(text("cstr"), filled(30_000, 0), text("dend")));
      for (let n = 0; n < 4; n++) attacker.send(bytes(text("dstr"), filled(30_000, 0), text("dend")));
      await isClosed(attacker);
    },
  },
  "stock: a command that is never finished": {
    async attack(attacker) {
      attacker.send(bytes(text("cstr"), 0, text("dend")));
      await sleep(5500);
      // Had it waited, these would be one command that ends within a field.
      attacker.send(bytes(text("dstr"), text("l"), text("cend")));
      await sleep(500);
      return { stays: !attacker.closed };
    },
  },
  "stock: bytes of nothing": {
    async attack(attacker) {
      for (let n = 0; n < 8; n++) attacker.send(bytes(filled(50_000, 42)));
      await isClosed(attacker);
    },
  },
  claim_against_the_byte_range: {
    async attack(attacker) {
      const { transfer } = await isAsked(attacker);
      attacker.send(frames.accept(transfer, 1000));
      const cancelled = () => attacker.of(types.cancel).some((it) => it.transfer === transfer);
      return { givenUp: await attacker.until(cancelled) };
    },
  },
  receive_memory: {
    async attack(attacker) {
      claimAll(attacker);
      await attacker.nth(types.request);
      let most = 0;
      for (let n = 0; n < 40; n++) {
        const cancelled = new Set(attacker.of(types.cancel).map(({ transfer }) => transfer));
        const open = attacker.of(types.request).filter(({ transfer }) => !cancelled.has(transfer));
        most = Math.max(
          most,
          open.reduce((sum, { length }) => sum + length, 0),
        );
        await sleep(50);
      }
      return { most, unbounded: attacker.of(types.request).filter(({ length }) => length === 0).length };
    },
  },
  cache: {
    async attack(attacker) {
      serve(attacker);
      claimAll(attacker);
      await attacker.until(() => attacker.of(types.request).length >= 14 || attacker.closed);
      return { asked: attacker.of(types.request).length };
    },
  },
};
