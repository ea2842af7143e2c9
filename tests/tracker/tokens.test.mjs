// The recipe of docs/tracker.md for web servers, as it stands there, against the tracker.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { startTracker } from "../browser/harness/tracker.mjs";

const secret = "a secret of the web server";
const stream = "https://cdn.example/live.m3u8";
let folder;
let tracker;
let recipe;

before(async () => {
  const docs = await readFile(new URL("../../docs/tracker.md", import.meta.url), "utf8");
  const [, code] = /```js\n(import .*?)```/s.exec(docs);
  const source = `${code}\nexport { infoHash, mintToken };`;
  recipe = await import(`data:text/javascript,${encodeURIComponent(source)}`);
  folder = await mkdtemp(path.join(tmpdir(), "hlswarm-"));
  const config = path.join(folder, "tracker.toml");
  await writeFile(config, `[access]\ntoken_secrets = [${JSON.stringify(secret)}]\n`);
  tracker = await startTracker({ args: ["--config", config] });
});

after(async () => {
  await tracker?.close();
  if (folder) await rm(folder, { recursive: true });
});

/** What the tracker says to an announce with a token. */
async function announce(infoHash, token, query = "") {
  const socket = new WebSocket(`${tracker.url}${query}`);
  await once(socket, "open");
  const peer = "token-test".padEnd(20, "-");
  socket.send(JSON.stringify({ action: "announce", info_hash: infoHash, peer_id: peer, offers: [], token }));
  const [data] = await once(socket, "message");
  socket.close();
  return JSON.parse(data);
}

test("a token of the recipe opens its stream and no other", async () => {
  const token = recipe.mintToken(secret, stream, 60);
  const infoHash = recipe.infoHash(stream);
  assert.equal(infoHash.length, 20);
  assert.equal((await announce(infoHash, token)).incomplete, 1);
  assert.equal((await announce(infoHash, undefined, `?token=${token}`)).incomplete, 1);
  const other = recipe.infoHash("https://cdn.example/other.m3u8");
  assert.equal((await announce(other, token))["failure reason"], "token is for another info_hash");
});

test("a token for any stream, one that is over, and one of somebody else", async () => {
  const infoHash = recipe.infoHash(stream);
  assert.equal((await announce(infoHash, recipe.mintToken(secret, undefined, 60))).incomplete, 1);
  const expired = await announce(infoHash, recipe.mintToken(secret, stream, -5));
  assert.match(expired["failure reason"], /^token expired \d+ s ago$/);
  const forged = await announce(infoHash, recipe.mintToken("another secret, not its", stream, 60));
  assert.equal(forged["failure reason"], "token is not one of this tracker's");
});
