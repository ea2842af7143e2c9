// Running other programs. Only what Node itself brings: these scripts run before any package is installed.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** A path below the root. */
export const at = (...parts) => path.join(root, ...parts);

/** A problem that a person can mend: its message is all that needs to be shown. */
export class Problem extends Error {}

/** Ends with one line for a `Problem`, with the stack for anything else. */
export function exitOnProblem(label) {
  return (error) => {
    console.error(`${label}: ${error instanceof Problem ? error.message : (error?.stack ?? error)}`);
    process.exit(1);
  };
}

/** The file that a command name stands for, or undefined. */
export function which(name) {
  if (!name) return undefined;
  const places = name.includes(path.sep) ? [""] : (process.env.PATH ?? "").split(path.delimiter);
  for (const place of places) {
    const file = place ? path.join(place, name) : path.resolve(name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** What a command prints, trimmed; undefined if it cannot be started or fails. */
export function outputOf(command, args, env = {}) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return status === 0 ? stdout.trim() : undefined;
}

const running = new Set();

/** Children run in a process group of their own, so that nothing of theirs outlives us. */
function killAll(signal = "SIGTERM") {
  for (const child of running) {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Gone already.
    }
  }
}
process.on("exit", () => killAll("SIGKILL"));
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
]) {
  process.on(signal, () => {
    killAll(signal);
    process.exit(code);
  });
}

/**
 * Runs a command to its end and shows what it prints.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: object, cwd?: string, quiet?: boolean | "always", timeoutMs?: number }} [options] `quiet` shows
 *   the output only when the command fails, or never
 * @returns {Promise<{ ok: boolean, code: number | null, output: string, timedOut: boolean }>}
 */
export function run(command, args, { env = {}, cwd = root, quiet = false, timeoutMs = 0 } = {}) {
  return new Promise((done) => {
    let output = "";
    let timedOut = false;
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    running.add(child);
    const timer =
      timeoutMs &&
      setTimeout(() => {
        timedOut = true;
        output += `\n${command} was ended after ${Math.round(timeoutMs / 60_000)} minutes\n`;
        killOne(child);
      }, timeoutMs);
    for (const [stream, sink] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        if (!quiet) sink.write(text);
      });
    }
    const finish = (code) => {
      clearTimeout(timer);
      running.delete(child);
      if (quiet === true && code !== 0) process.stderr.write(output);
      done({ ok: code === 0 && !timedOut, code, output, timedOut });
    };
    child.on("error", (error) => {
      output += `${command} could not be started: ${error.message}\n`;
      finish(127);
    });
    // Not "exit": the last of the output may still be on its way. A grandchild may hold the pipe open, though.
    child.on("close", finish);
    child.on("exit", () => {
      const late = () => {
        child.stdout.destroy();
        child.stderr.destroy();
      };
      setTimeout(late, 2000).unref();
    });
  });
}

function killOne(child, signal = "SIGKILL") {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Gone already.
  }
}

/**
 * Starts a server and waits for a line on its output.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ ready: RegExp, env?: object, timeoutMs?: number }} options
 * @returns {Promise<{ match: RegExpExecArray, stop: () => Promise<void> }>}
 */
export function startServer(command, args, { ready, env = {}, timeoutMs = 20_000 }) {
  return new Promise((done, fail) => {
    let output = "";
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    running.add(child);
    const gone = new Promise((resolve) => child.on("close", resolve));
    const give = (why) => {
      clearTimeout(timer);
      killOne(child);
      fail(
        new Problem(`${path.basename(command)} ${why}: ${output.trim().slice(-500) || "it printed nothing"}`),
      );
    };
    const timer = setTimeout(() => give(`did not become ready within ${timeoutMs / 1000} s`), timeoutMs);
    child.on("error", (error) => give(`could not be started (${error.message})`));
    child.on("exit", (code) => {
      running.delete(child);
      give(`ended with ${code}`);
    });
    const read = (text) => {
      output = (output + text).slice(-20_000);
      const match = ready.exec(output);
      if (!match) return;
      clearTimeout(timer);
      done({
        match,
        stop: async () => {
          // Not SIGTERM: servers take that as a wish to drain first.
          killOne(child, "SIGINT");
          const late = setTimeout(() => killOne(child), 5000);
          await gone;
          clearTimeout(late);
        },
      });
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
  });
}

/** "12 s", "3 min 5 s", "0.4 s". */
export function duration(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
