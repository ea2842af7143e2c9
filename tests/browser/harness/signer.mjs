// Signs streams with the real hlswarm-sign.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root } from "./paths.mjs";

function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
  const candidates = ["release", "debug"].map((profile) => path.join(target, profile, "hlswarm-sign"));
  const found = candidates.find((file) => existsSync(file));
  if (!found)
    throw new Error(
      `no hlswarm-sign (looked for ${candidates.join(", ")}): run \`cargo build -p hlswarm-sign\``,
    );
  return found;
}

/**
 * Copies a stream and signs the copy.
 *
 * @param dir the stream's folder
 * @param stream its name
 * @returns `{ dir, publicKey, close() }`
 */
export function signCopy(dir, stream) {
  const own = mkdtempSync(path.join(tmpdir(), "hlswarm-signed-"));
  const run = (...args) => execFileSync(binary(), args, { encoding: "utf8" }).trim();
  const copy = path.join(own, "stream");
  cpSync(dir, copy, { recursive: true });
  const key = path.join(own, "key");
  const publicKey = run("keygen", key);
  run("sign", copy, "--key", key, "--stream", stream);
  return { dir: copy, publicKey, close: () => rmSync(own, { recursive: true, force: true }) };
}
