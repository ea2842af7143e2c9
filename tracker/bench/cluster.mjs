// npm run bench:cluster: several trackers as one over a NATS server, under the load of bench:tracker. Prints what goes over
// the bus for each announce, and what the same load costs with one worker or several.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { commandLine } from "../../scripts/lib/options.mjs";
import { startTracker } from "../../tests/browser/harness/tracker.mjs";
import { startNats } from "../../tests/tracker/nats.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
const { values: options, whole } = commandLine(
  "npm run bench:cluster -- [options]: several trackers as one over NATS",
  {
    nodes: { default: "3", help: "how many" },
    rate: { default: "1000", help: "announces a second over all nodes" },
    seconds: { default: "10", help: "how long" },
    connections: { default: "1000", help: "how many in all" },
  },
);
for (const name of Object.keys(options).filter((name) => name !== "help")) whole(name);
const folder = mkdtempSync(path.join(tmpdir(), "hlswarm-bench-"));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The load comes from few addresses and fast: nothing must hold it back. */
const sample = readFileSync(path.join(root, "tracker/hlswarm-tracker.toml"), "utf8");
const unlimited = sample
  .slice(sample.indexOf("\n[limits]"), sample.indexOf("\n[log]"))
  .split("\n")
  .map((line) => line.split(" = ")[0])
  .filter((name) => /_per_second$|^connections_per_|^min_interval_secs$/.test(name))
  .map((name) => `${name} = 0`);

function settings(name, workers) {
  const file = path.join(folder, `${name}.toml`);
  writeFileSync(file, `[server]\nworkers = ${workers}\n[limits]\n${unlimited.join("\n")}\n`);
  return file;
}

const metrics = async (node) => {
  const page = await (await fetch(`${node.httpUrl}/metrics`)).text();
  const value = (name) =>
    Number(
      page
        .split("\n")
        .find((line) => line.startsWith(`hlswarm_tracker_${name} `))
        ?.split(" ")
        .at(-1) ?? 0,
    );
  return {
    announces: value("announces_total"),
    offers: value("offers_total"),
    messages: value('bus_messages_total{direction="sent"}'),
    bytes: value('bus_bytes_total{direction="sent"}'),
    receivedMessages: value('bus_messages_total{direction="received"}'),
    receivedBytes: value('bus_bytes_total{direction="received"}'),
    dropped: value('bus_dropped_total{reason="queue"}') + value('bus_dropped_total{reason="slow_consumer"}'),
  };
};

async function total(nodes) {
  const all = await Promise.all(nodes.map(metrics));
  return Object.fromEntries(
    Object.keys(all[0]).map((key) => [key, all.reduce((sum, one) => sum + one[key], 0)]),
  );
}

/** CPU seconds of a process so far. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function load(nodes, args) {
  const targets = nodes.flatMap((node) => ["--target", new URL(node.url).host]);
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn(path.join(target, "release", "hlswarm-tracker-load"), [...targets, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout.on("data", (text) => {
      output += text;
    });
    child.on("error", reject);
    child.on("exit", (code) =>
      code === 0 ? resolve(JSON.parse(output)) : reject(new Error(`load: ${code}`)),
    );
  });
}

const count = Number(options.nodes);
const open = (swarmSize, rate = options.rate) => [
  ..."--mode open --warm-up 2 --offers 5".split(" "),
  ...["--seconds", options.seconds, "--connections", options.connections],
  ...["--swarm-size", `${swarmSize}`, "--rate", `${rate}`],
];

async function cluster() {
  const nats = await startNats();
  const file = settings("cluster", 1);
  const nodes = [];
  for (let number = 0; number < count; number++) {
    nodes.push(await startTracker({ args: ["--config", file, "--cluster", nats.url] }));
  }
  await sleep(3000);
  const rows = [];
  const measure = async (what, work) => {
    const [before, natsBefore, started] = [await total(nodes), cpuSeconds(nats.pid()), performance.now()];
    const report = await work();
    const [after, natsAfter, ended] = [await total(nodes), cpuSeconds(nats.pid()), performance.now()];
    const change = Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - before[key]]));
    const seconds = (ended - started) / 1000;
    const per = (value, digits = 2) => (change.announces ? (value / change.announces).toFixed(digits) : "-");
    rows.push({
      what,
      announces: change.announces,
      "messages sent per announce": per(change.messages),
      "bytes sent per announce": per(change.bytes, 0),
      "messages sent a second": (change.messages / seconds).toFixed(1),
      "bytes received a second and node": (change.receivedBytes / seconds / count).toFixed(0),
      "NATS CPU ms per 1,000 announces": per((natsAfter - natsBefore) * 1e6, 1),
      "round trip p50 ms": report?.roundTripMs?.p50?.toFixed(2) ?? "-",
      dropped: change.dropped,
    });
  };
  await measure("idle", () => sleep(10_000));
  for (const size of [20, 1000]) await measure(`swarms of ${size}`, () => load(nodes, open(size)));
  const fast = `${4 * Number(options.rate)}`;
  await measure(`swarms of 20, ${fast} announces/s`, () => load(nodes, open(20, fast)));
  console.log(`\n${count} nodes, 5 offers of 1.4 KB an announce, all answered with 0.8 KB\n`);
  console.table(rows);
  for (const node of nodes) await node.close();
  await nats.close();
}

async function workers() {
  const rows = [];
  for (const workers of [1, 2, 4]) {
    const node = await startTracker({ args: ["--config", settings(`workers-${workers}`, workers)] });
    const args = [
      "--pid",
      `${node.pid()}`,
      "--seconds",
      options.seconds,
      "--connections",
      options.connections,
    ];
    const closed = await load([node], ["--mode", "closed", ...args]);
    rows.push({
      workers,
      "announces a second": (closed.announces / closed.seconds).toFixed(0),
      "announces per CPU-second": closed.announcesPerCpuSecond?.toFixed(0),
      "offers delivered": `${((100 * closed.offersReceived) / closed.offersSent).toFixed(1)} %`,
    });
    await node.close();
  }
  console.log("\nworkers of one process, closed loop, swarms of 20\n");
  console.table(rows);
}

try {
  console.log("building the tracker and the load generator");
  execFileSync("cargo", ["build", "--release", "-p", "hlswarm-tracker", "-p", "hlswarm-tracker-load"], {
    cwd: root,
    stdio: "inherit",
  });
  await cluster();
  await workers();
} finally {
  rmSync(folder, { recursive: true });
}
