// What operators are handed: alert rules and the board against a real Prometheus that scrapes our tracker, and the systemd
// unit against systemd.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { startTracker } from "../browser/harness/tracker.mjs";
import { startNats } from "./nats.mjs";

const deploy = fileURLToPath(new URL("../../tracker/deploy/", import.meta.url));
/** The range that rates on the board and in the rules look back, in seconds at most: two scrapes within suffice. */
const scrapeSeconds = 1;

let folder;
let nats;
let tracker;
let other;
let prometheus;
let url;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "hlswarm-"));
});

after(async () => {
  if (prometheus) {
    prometheus.kill("SIGKILL");
    if (prometheus.exitCode === null) await once(prometheus, "exit");
  }
  await tracker?.close();
  await other?.close();
  await nats?.close();
  if (folder) await rm(folder, { recursive: true });
});

/** Runs a command to its end; its output. */
function check(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", cwd: deploy });
  assert.equal(error, undefined);
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout + stderr;
}

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function eventually(what, attempt) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const result = await attempt();
    if (result) return result;
    assert.ok(Date.now() < deadline, `${what} does not happen`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function query(expression) {
  const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expression })}`);
  const answer = await response.json();
  assert.equal(answer.status, "success", `${expression}: ${answer.error}`);
  return answer.data.result;
}

/** Two clients meet, and somebody is refused and somebody turned away: something for every counter on the board. */
async function traffic() {
  const open = async (address) => {
    const socket = new WebSocket(address);
    socket.received = [];
    socket.on("message", (data) => socket.received.push(JSON.parse(data)));
    await once(socket, "open");
    return socket;
  };
  const [anna, ben] = [await open(tracker.url), await open(tracker.url)];
  const ids = { info_hash: "swarm-of-twenty-byte" };
  const announce = (name, offers) =>
    JSON.stringify({
      action: "announce",
      ...ids,
      peer_id: name.padEnd(20, "-"),
      numwant: offers.length,
      offers,
    });
  anna.send(announce("anna", []));
  await eventually("a reply", () => anna.received.length);
  ben.send(announce("ben", [{ offer: { type: "offer", sdp: "v=0" }, offer_id: "b1" }]));
  const offer = await eventually("an offer", () => anna.received.find((message) => message.offer));
  anna.send(
    JSON.stringify({
      action: "announce",
      ...ids,
      peer_id: "anna".padEnd(20, "-"),
      to_peer_id: offer.peer_id,
      offer_id: offer.offer_id,
      answer: { type: "answer", sdp: "v=0" },
    }),
  );
  await eventually("an answer", () => ben.received.find((message) => message.answer));
  ben.send("nonsense");
  ben.close();
  await once(ben, "close");
  await fetch(`${tracker.httpUrl}/`);
  return anna;
}

describe("Prometheus", () => {
  const boardQueries = async () => {
    const board = JSON.parse(await readFile(path.join(deploy, "grafana.json"), "utf8"));
    return board.panels.flatMap(({ title, targets }) =>
      targets.map(({ expr }) => ({ title, expr: expr.replaceAll("$instance", ".*") })),
    );
  };

  test("the rules are well formed and fire when they should", () => {
    assert.match(check("promtool", ["check", "rules", "alerts.yml"]), /SUCCESS: \d+ rules found/);
    assert.match(check("promtool", ["test", "rules", "alerts.test.yml"]), /SUCCESS/);
  });

  test("every alert is tested", async () => {
    const names = (text) => new Set([...text.matchAll(/alert(?:name)?: (\w+)/g)].map(([, name]) => name));
    const rules = names(await readFile(path.join(deploy, "alerts.yml"), "utf8"));
    const tested = names(await readFile(path.join(deploy, "alerts.test.yml"), "utf8"));
    assert.deepEqual(
      [...rules].filter((name) => !tested.has(name)),
      [],
    );
  });

  test("it scrapes the tracker, takes the rules, and every query of the board has data", async () => {
    // Two as one, so that what only such have is there as well.
    nats = await startNats();
    const args = ["--cluster", nats.url];
    tracker = await startTracker({ args });
    other = await startTracker({ args });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const config = path.join(folder, "prometheus.yml");
    await writeFile(
      config,
      `global: { scrape_interval: ${scrapeSeconds}s, evaluation_interval: ${scrapeSeconds}s }
rule_files: [${JSON.stringify(path.join(deploy, "alerts.yml"))}]
scrape_configs:
  - job_name: hlswarm-tracker
    static_configs: [{ targets: ["${new URL(tracker.httpUrl).host}", "${new URL(other.httpUrl).host}"] }]
`,
    );
    let log = "";
    prometheus = spawn(
      "prometheus",
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${path.join(folder, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    prometheus.stderr.on("data", (text) => (log = (log + text).slice(-5000)));
    let failure;
    prometheus.once("error", (error) => (failure = error));
    await eventually("Prometheus", async () => {
      assert.ok(!failure && prometheus.exitCode === null, `${failure ?? log}`);
      return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok;
    });
    // Both, before there is something to count: a rate needs a sample from before.
    await eventually(
      "a scrape of each",
      async () => (await query('up{job="hlswarm-tracker"} == 1')).length === 2,
    );
    const anna = await traffic();
    await eventually("an answer in the figures", async () => {
      const [sample] = await query("sum(hlswarm_tracker_answers_total)");
      return sample?.value[1] === "1";
    });
    // A rate needs two samples after the first.
    await eventually(
      "a rate",
      async () => (await query("rate(hlswarm_tracker_answers_total[1m]) > 0")).length,
    );

    for (const { title, expr } of await boardQueries()) {
      await eventually(`data for "${title}": ${expr}`, async () => (await query(expr)).length);
    }
    const response = await fetch(`${url}/api/v1/rules`);
    const rules = (await response.json()).data.groups.flatMap((group) => group.rules);
    assert.ok(rules.length >= 7);
    for (const rule of rules) {
      await eventually(`${rule.name} is evaluated`, async () => {
        const now = (await (await fetch(`${url}/api/v1/rules`)).json()).data.groups.flatMap(
          (group) => group.rules,
        );
        return now.find(({ name }) => name === rule.name).health === "ok";
      });
    }
    // What the rules look at exists under these names.
    const known = new Set((await (await fetch(`${url}/api/v1/label/__name__/values`)).json()).data);
    const wanted = rules.flatMap(({ query }) => query.match(/\b(hlswarm_tracker|process)_\w+/g) ?? []);
    for (const name of wanted) assert.ok(known.has(name), `no metric ${name}`);
    assert.deepEqual(
      rules.filter((rule) => rule.state === "firing").map((rule) => rule.name),
      [],
      "nothing is wrong",
    );
    anna.close();
  });
});

test("the systemd unit is one", async (t) => {
  if (spawnSync("systemd-analyze", ["--version"]).error) return t.skip("there is no systemd-analyze here");
  const unit = path.join(folder, "hlswarm-tracker.service");
  // The binary and the manual are not installed here.
  const text = (await readFile(path.join(deploy, "hlswarm-tracker.service"), "utf8"))
    .replaceAll("/usr/local/bin/hlswarm-tracker", process.execPath)
    .replace(/^Documentation=.*\n/m, "");
  await writeFile(unit, text);
  assert.equal(check("systemd-analyze", ["verify", unit]).trim(), "");
});

test("the image is made of what is there, and runs the tracker as the unit does", async () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const steps = (await readFile(path.join(deploy, "Containerfile"), "utf8"))
    .split("\n")
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);
  const only = (name) => {
    const found = steps.filter(([step]) => step === name).map(([, rest]) => rest);
    assert.ok(found.length > 0, name);
    return found;
  };
  // The binary that cargo makes is the one that is copied and started, and its settings are ones that it takes.
  const [build] = only("RUN");
  const { packages } = JSON.parse(
    check("cargo", ["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"]),
  );
  const [, name] = /^cargo build --locked --release -p (\S+)$/.exec(build);
  const made = packages.find((each) => each.name === name);
  assert.ok(made.targets.some((target) => target.name === name && target.kind.includes("bin")));
  const [, from, to] = /^--from=build \/src\/(\S+) (\S+)$/.exec(
    only("COPY").find((rest) => rest.startsWith("--from")),
  );
  assert.equal(from, `target/release/${name}`);
  const [[entry]] = only("ENTRYPOINT").map((rest) => JSON.parse(rest));
  assert.equal(entry, `${to}${name}`);
  const [command] = only("CMD").map((rest) => JSON.parse(rest));
  assert.deepEqual(command, ["--listen", `0.0.0.0:${only("EXPOSE")[0]}`]);
  const unit = await readFile(path.join(deploy, "hlswarm-tracker.service"), "utf8");
  assert.ok(unit.includes(`\nEnvironment=${only("ENV")[0]}\n`));
  // Nothing that the build reads is left out of what is sent to it.
  const ignored = (await readFile(path.join(root, ".dockerignore"), "utf8"))
    .split("\n")
    .filter((line) => line && !line.startsWith("#"))
    .map((line) => line.replace("**/", ""));
  const needed = packages.flatMap((each) =>
    [each.manifest_path, ...each.targets.map((target) => target.src_path)].map((file) =>
      path.relative(root, file),
    ),
  );
  for (const file of [...needed, "Cargo.lock"]) {
    assert.deepEqual(
      ignored.filter((part) => file === part || `/${file}`.includes(`/${part}/`)),
      [],
      file,
    );
  }
});
