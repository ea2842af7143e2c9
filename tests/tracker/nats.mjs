// Real NATS servers, a way to them that can be cut, and a client that hears and says anything.
import { spawn } from "node:child_process";
import net from "node:net";
import { natsServer } from "../../scripts/lib/nats.mjs";

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Starts a NATS server.
 *
 * @param args more of its command line
 * @returns `{ url, port, pid(), kill(), restart(), close() }`; `kill` is as a crash
 */
export async function startNats({ args = [] } = {}) {
  const program = natsServer();
  if (!program) throw new Error("no nats-server: install Debian's package of that name, or set NATS_SERVER");
  const port = await freePort();
  let child;
  let ended;

  async function start() {
    let output = "";
    const mine = spawn(program, ["-a", "127.0.0.1", "-p", `${port}`, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = mine;
    ended = new Promise((resolve) => mine.once("exit", resolve));
    mine.stderr.on("data", (text) => {
      output += text;
    });
    const deadline = Date.now() + 20_000;
    while (!output.includes("Server is ready")) {
      if (mine.exitCode !== null || Date.now() > deadline) {
        mine.kill("SIGKILL");
        throw new Error(`nats-server did not come up: ${output}`);
      }
      await pause(20);
    }
  }

  async function kill() {
    child.kill("SIGKILL");
    await ended;
  }

  await start();
  return { url: `nats://127.0.0.1:${port}`, port, pid: () => child.pid, kill, restart: start, close: kill };
}

/**
 * A TCP proxy whose line can be cut: what is connected stays connected and hears nothing any more, as when a network
 * is divided.
 */
export async function startProxy(port) {
  let isCut = false;
  const pairs = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    const pair = [near, far];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [pair, [far, near]]) {
      from.on("data", (data) => isCut || to.write(data));
      from.on("error", end);
      from.on("close", end);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `nats://127.0.0.1:${server.address().port}`,
    cut() {
      isCut = true;
    },
    /** Mends the line. What was said meanwhile is lost, so connections of before cannot go on. */
    mend() {
      isCut = false;
      for (const [near] of pairs) near.destroy();
    },
    close() {
      for (const [near] of pairs) near.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Joins a NATS server and hears everything: `heard` are `{ subject, payload }`, `say(subject, payload)` publishes. */
export async function listenToNats(port, subjects = ">") {
  const socket = net.connect(port, "127.0.0.1");
  const heard = [];
  let rest = Buffer.alloc(0);
  let ready;
  const isReady = new Promise((resolve) => {
    ready = resolve;
  });
  socket.on("data", (data) => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      const end = rest.indexOf("\r\n");
      if (end < 0) return;
      const line = rest.subarray(0, end).toString();
      const [verb, subject, , ...more] = line.split(" ");
      if (verb === "MSG") {
        const bytes = Number(more.at(-1));
        if (rest.length < end + 2 + bytes + 2) return;
        heard.push({ subject, payload: Buffer.from(rest.subarray(end + 2, end + 2 + bytes)) });
        rest = rest.subarray(end + 2 + bytes + 2);
        continue;
      }
      rest = rest.subarray(end + 2);
      if (verb === "PING") socket.write("PONG\r\n");
      if (verb === "PONG") ready();
    }
  });
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.write(`CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\nSUB ${subjects} 1\r\nPING\r\n`);
  await isReady;
  return {
    heard,
    say(subject, payload) {
      socket.write(
        Buffer.concat([Buffer.from(`PUB ${subject} ${payload.length}\r\n`), payload, Buffer.from("\r\n")]),
      );
    },
    close: () => socket.destroy(),
  };
}
