// A TURN server (Debian's coturn) on the loopback address, as a process of its own.
import { spawn, spawnSync } from "node:child_process";
import dgram from "node:dgram";
import { existsSync } from "node:fs";

const credentials = { username: "viewer", credential: "secret" };

function binary() {
  const candidates = [process.env.TURNSERVER, "/usr/bin/turnserver"].filter(Boolean);
  const found = candidates.find((file) => existsSync(file));
  if (found) return found;
  const onPath = spawnSync("which", ["turnserver"], { encoding: "utf8" }).stdout.trim();
  if (onPath) return onPath;
  throw new Error("no turnserver: install the package `coturn`, or name one in the variable TURNSERVER");
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = dgram.createSocket("udp4");
    probe.once("error", reject);
    probe.bind(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** A STUN binding request, which any TURN server answers. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    const done = (answered) => {
      clearTimeout(timer);
      socket.close();
      resolve(answered);
    };
    const timer = setTimeout(done, 200, false);
    socket.once("message", () => done(true));
    socket.once("error", () => done(false));
    const request = Buffer.alloc(20);
    request.writeUInt16BE(1, 0);
    request.writeUInt32BE(0x2112a442, 4);
    request.write("hlswarm-test", 8);
    socket.send(request, port, "127.0.0.1");
  });
}

/**
 * Starts it.
 *
 * @returns `{ iceServer, log(), close() }`: the entry for `rtcConfig.iceServers`
 */
export async function startTurn() {
  const port = await freePort();
  const args = ["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", `--listening-port=${port}`];
  args.push(
    "--allow-loopback-peers",
    "--lt-cred-mech",
    "--realm=hlswarm",
    "--no-cli",
    "--no-tls",
    "--no-dtls",
  );
  args.push(`--user=${credentials.username}:${credentials.credential}`, "--log-file=stdout", "--simple-log");
  args.push("--pidfile=/dev/null");
  const child = spawn(binary(), args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const keep = (text) => {
    output = (output + text).slice(-20_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let failure;
  child.once("error", (error) => (failure = error));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const deadline = Date.now() + 20_000;
  while (!(await answers(port))) {
    if (failure || child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`turnserver did not come up: ${failure ?? output}`);
    }
  }
  return {
    iceServer: { urls: `turn:127.0.0.1:${port}?transport=udp`, ...credentials },
    log: () => output,
    async close() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
