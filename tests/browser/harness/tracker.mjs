// Our tracker as a process of its own, which tests may kill and start again at the same address.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { root } from "./paths.mjs";

function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
  const candidates = [
    process.env.HLSWARM_TRACKER,
    path.join(target, "release/hlswarm-tracker"),
    path.join(target, "debug/hlswarm-tracker"),
  ].filter(Boolean);
  const found = candidates.find((file) => existsSync(file));
  if (!found)
    throw new Error(
      `no hlswarm-tracker (looked for ${candidates.join(", ")}): run \`cargo build -p hlswarm-tracker\``,
    );
  return found;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/**
 * Starts the tracker.
 *
 * @param args more of its command line
 * @returns `{ url, httpUrl, log(), pid(), signal(name), kill(), restart(), close() }`; `kill` is as a crash: no goodbye to anybody
 */
export async function startTracker({ args = [] } = {}) {
  const port = await freePort();
  const httpUrl = `http://127.0.0.1:${port}`;
  let child;
  let ended;
  let output = "";

  async function start() {
    const mine = spawn(binary(), ["--listen", `127.0.0.1:${port}`, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = mine;
    const keep = (text) => {
      output = (output + text).slice(-20_000);
    };
    mine.stdout.on("data", keep);
    mine.stderr.on("data", keep);
    let failure;
    mine.once("error", (error) => (failure = error));
    ended = new Promise((resolve) => mine.once("exit", resolve));
    const deadline = Date.now() + 20_000;
    for (;;) {
      const answer = await fetch(`${httpUrl}/healthz`).catch(() => undefined);
      if (answer?.ok) return;
      if (failure || mine.exitCode !== null || Date.now() > deadline) {
        mine.kill("SIGKILL");
        throw new Error(`hlswarm-tracker did not come up: ${failure ?? output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function kill() {
    child.kill("SIGKILL");
    await ended;
  }

  await start();
  return {
    url: `ws://127.0.0.1:${port}/`,
    httpUrl,
    log: () => output,
    pid: () => child.pid,
    signal: (name) => child.kill(name),
    kill,
    restart: start,
    close: kill,
  };
}
