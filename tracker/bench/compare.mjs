// npm run bench:tracker: our tracker, bittorrent-tracker from npm and aquatic_ws from crates.io under the same load, one
// after the other, each alone on one core, the load generator on another. Prints tables and writes JSON.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { commandLine } from "../../scripts/lib/options.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
const aquaticVersion = "0.9.0";
const {
  values: options,
  whole,
  list,
} = commandLine(
  "npm run bench:tracker -- [options]: our tracker, bittorrent-tracker and aquatic_ws under the same load",
  {
    seconds: { default: "8", help: "how long each load lasts" },
    connections: { default: "1000", help: "how many announce" },
    idle: { default: "10000", help: "how many are held idle" },
    parts: { default: "compare,abuse", help: "what is measured" },
    only: { default: "hlswarm,bittorrent-tracker,aquatic", help: "which trackers" },
    out: { default: path.join(target, "bench", "tracker.json"), help: "file of the raw figures" },
  },
);
for (const name of ["seconds", "connections", "idle"]) whole(name);
const parts = list("parts", ["compare", "abuse"]);
const wanted = list("only", ["hlswarm", "bittorrent-tracker", "aquatic"]);
const folder = mkdtempSync(path.join(tmpdir(), "hlswarm-bench-"));
const cores = availableParallelism() > 1;
/** Pins a command to a core, so that server and generator do not take time from each other. */
const pinned = (core, command, args) =>
  cores ? ["taskset", ["-c", String(core), command, ...args]] : [command, args];

function build() {
  console.log("building the tracker and the load generator");
  execFileSync("cargo", ["build", "--release", "-p", "hlswarm-tracker", "-p", "hlswarm-tracker-load"], {
    cwd: root,
    stdio: "inherit",
  });
}

/** aquatic_ws in a folder of its own. @returns its program, or nothing if it cannot be built here */
function aquatic() {
  const place = path.join(target, "bench", "aquatic");
  const program = path.join(place, "bin", "aquatic_ws");
  if (existsSync(program)) return program;
  console.log(`building aquatic_ws ${aquaticVersion} (once, some minutes)`);
  try {
    const build = path.join(target, "bench", "aquatic-build");
    const args = [
      "install",
      "aquatic_ws",
      "--version",
      aquaticVersion,
      "--root",
      place,
      "--target-dir",
      build,
    ];
    execFileSync("cargo", args, { stdio: "inherit" });
    return program;
  } catch (error) {
    console.log(`aquatic_ws cannot be built here: ${error.message}`);
    return undefined;
  }
}

function certificate() {
  const [cert, key] = [path.join(folder, "cert.pem"), path.join(folder, "key.pem")];
  const args =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(" ");
  execFileSync("openssl", [...args, "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { cert, key };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Bounds that would slow down a generator that is faster than any viewer are lifted, for each tracker that has some. */
function hlswarmSettings(tls) {
  const file = path.join(folder, `hlswarm-${Boolean(tls)}.toml`);
  const text = `[log]
level = "error"
${tls ? `[tls]\ncertificate = "${tls.cert}"\nkey = "${tls.key}"\n` : ""}[limits]
min_interval_secs = 0
received_offers_per_second = 0
messages_per_connection_per_second = 0
bytes_per_connection_per_second = 0
announces_per_ip_per_second = 0
announces_per_ip_and_swarm_per_second = 0
offers_per_connection_per_second = 0
offers_per_ip_per_second = 0
bytes_per_ip_per_second = 0
accepts_per_second = 0
accepts_per_ip_per_second = 0
connections_per_ip = 0
connections_per_net = 0
`;
  writeFileSync(file, text);
  return file;
}

function aquaticSettings(port, tls) {
  const file = path.join(folder, `aquatic-${port}.toml`);
  const text = `socket_workers = 1
swarm_workers = 1
[network]
address = "127.0.0.1:${port}"
enable_tls = ${Boolean(tls)}
${tls ? `tls_certificate_path = "${tls.cert}"\ntls_private_key_path = "${tls.key}"\n` : ""}`;
  writeFileSync(file, text);
  return file;
}

const reference = path.join(root, "tracker", "bench", "reference.mjs");

/** How to start each tracker. */
function contenders() {
  const all = {
    hlswarm: (port, tls) => [
      path.join(target, "release", "hlswarm-tracker"),
      ["--listen", `127.0.0.1:${port}`, "--config", hlswarmSettings(tls)],
    ],
    "bittorrent-tracker": (port, tls) => [
      process.execPath,
      [reference, String(port), ...(tls ? [tls.cert, tls.key] : [])],
    ],
  };
  const program = wanted.includes("aquatic") ? aquatic() : undefined;
  if (program) all.aquatic = (port, tls) => [program, ["-c", aquaticSettings(port, tls)]];
  return Object.entries(all).filter(([name]) => wanted.includes(name));
}

async function withServer(start, tls, work) {
  const port = await freePort();
  const [command, args] = start(port, tls);
  // As the systemd unit has it, and for every tracker with that allocator.
  const env = { ...process.env, MIMALLOC_ALLOW_THP: "0" };
  const child = spawn(...pinned(0, command, args), { stdio: ["ignore", "ignore", "pipe"], env });
  let problem = "";
  child.stderr.on("data", (text) => (problem = (problem + text).slice(-2000)));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  try {
    for (let attempt = 0; ; attempt++) {
      if (await accepts(port)) break;
      if (child.exitCode !== null || attempt > 100) throw new Error(`it does not start: ${problem}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return await work(port, child.pid);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

async function accepts(port) {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

function load(port, pid, tls, args) {
  const all = ["--target", `127.0.0.1:${port}`, "--pid", String(pid), ...(tls ? ["--tls"] : []), ...args];
  const [command, list] = pinned(1, path.join(target, "release", "hlswarm-tracker-load"), all);
  return new Promise((resolve) => {
    const child = spawn(command, list, { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let problem = "";
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (problem += text));
    child.once("exit", (code) => resolve(code === 0 ? JSON.parse(out) : { error: problem.trim() }));
  });
}

const scenarios = {
  closed: ["--mode", "closed", "--connections", options.connections, "--seconds", options.seconds],
  open: [
    "--mode",
    "open",
    "--connections",
    options.connections,
    "--rate",
    "1000",
    "--seconds",
    options.seconds,
    // The generator's own sleep is not the tracker's latency.
    "--busy-poll",
  ],
  idle: ["--mode", "idle", "--connections", options.idle, "--seconds", "2"],
  storm: ["--mode", "storm", "--seconds", options.seconds],
  burst: ["--mode", "burst", "--connections", "20", "--seconds", "3"],
};
const abuses = ["flood", "garbage", "bytes", "one-receiver", "slow-readers", "slowloris", "churn", "spread"];

const number = (value, digits = 0) =>
  value === undefined || Number.isNaN(value)
    ? "-"
    : value.toLocaleString("en", { maximumFractionDigits: digits });

function row(name, results) {
  const { closed, open, idle, storm, burst } = results;
  const delivered = (100 * closed.offersReceived) / closed.offersSent;
  return [
    name,
    number(closed.announcesPerCpuSecond),
    `${number(Math.min(delivered, 100), 1)} %`,
    `${number(open.roundTripMs?.p50, 2)} / ${number(open.roundTripMs?.p99, 2)}`,
    number(idle.bytesPerConnection),
    number(storm.acceptsPerCpuSecond),
    burst.error ? "-" : number(500 - burst.replies),
  ];
}

function table(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

build();
const tls = certificate();
const everything = {};
for (const [name, start] of parts.includes("compare") ? contenders() : []) {
  for (const kind of ["plain", "tls"]) {
    const results = {};
    for (const [scenario, args] of Object.entries(scenarios)) {
      process.stderr.write(`${name} ${kind} ${scenario}\n`);
      results[scenario] = await withServer(start, kind === "tls" ? tls : undefined, (port, pid) =>
        load(port, pid, kind === "tls", args),
      ).catch((error) => ({ error: error.message }));
      if (results[scenario].error) process.stderr.write(`  ${results[scenario].error}\n`);
    }
    everything[`${name} ${kind}`] = results;
  }
}
const abuseRows = [];
const own = parts.includes("abuse") && contenders().find(([name]) => name === "hlswarm");
if (own) {
  // With the bounds of a fresh installation; the generator's honest clients come from an address for each fifty.
  const settings = (secure) => {
    const file = path.join(folder, `abuse-${secure}.toml`);
    const certificate = secure ? `[tls]\ncertificate = "${tls.cert}"\nkey = "${tls.key}"\n` : "";
    writeFileSync(file, `[log]\nlevel = "error"\n${certificate}`);
    return file;
  };
  for (const secure of [false, true]) {
    const start = (port) => [
      own[1](port)[0],
      ["--listen", `127.0.0.1:${port}`, "--config", settings(secure)],
    ];
    for (const mode of ["open", ...abuses]) {
      process.stderr.write(`abuse: ${mode} ${secure ? "tls" : "plain"}\n`);
      const args = ["--mode", mode, "--connections", options.connections, "--rate", "100"];
      args.push("--seconds", options.seconds, "--busy-poll");
      const result = await withServer(start, undefined, (port, pid) => load(port, pid, secure, args)).catch(
        (error) => ({ error: error.message }),
      );
      if (result.error) process.stderr.write(`  ${result.error}\n`);
      everything[`abuse ${mode} ${secure ? "tls" : "plain"}`] = result;
      abuseRows.push([
        `${mode === "open" ? "none" : mode}${secure ? ", TLS" : ""}`,
        number(result.replyMs?.p50, 2),
        number(result.replyMs?.p99, 2),
        number(result.lostConnections),
        number(result.serverCpuSeconds / result.seconds, 2),
      ]);
    }
  }
}
rmSync(folder, { recursive: true });
const rows = Object.entries(everything)
  .filter(([name]) => !name.startsWith("abuse"))
  .map(([name, results]) => row(name, results));
if (rows.length)
  console.log(
    `\n${table(
      [
        "tracker",
        "announces per CPU-second",
        "offers delivered",
        "offer -> answer p50 / p99 (ms, 1,000 announces/s)",
        "bytes per idle connection",
        "accepts per CPU-second",
        "lost of a burst of 500",
      ],
      rows,
    )}\n`,
  );
if (abuseRows.length) {
  const head = ["abuse", "reply p50 (ms)", "reply p99 (ms)", "honest connections lost", "cores used"];
  console.log(`${table(head, abuseRows)}\n`);
}
mkdirSync(path.dirname(options.out), { recursive: true });
writeFileSync(options.out, `${JSON.stringify(everything, null, 2)}\n`);
console.log(`written to ${path.relative(process.cwd(), options.out)}`);
