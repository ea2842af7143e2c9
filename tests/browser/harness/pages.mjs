// The server of the pages: the player page, hls.js, hlswarm as built, and p2p-media-loader where it is installed.
// It is not the origin: what it serves is never counted.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { packageFolder, root } from "./paths.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
  ".map": "application/json",
};

const mounts = [
  ["/page/", () => path.join(here, "page")],
  ["/hlswarm/", () => path.join(root, "dist")],
  ["/hls.js/", () => path.join(packageFolder("hls.js"), "dist")],
  ["/p2pml-core/", () => path.join(packageFolder("p2p-media-loader-core"), "dist")],
  ["/p2pml-hlsjs/", () => path.join(packageFolder("p2p-media-loader-hlsjs"), "dist")],
];

/**
 * Starts the page server.
 *
 * @returns `{ url, intercept, close }`. `intercept(pattern, handler)` answers paths differently (for faults); it
 * returns a function that takes that back.
 */
export async function startPages() {
  const intercepts = new Map();
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    const [, intercept] = [...intercepts].find(([pattern]) => pattern.test(pathname)) ?? [];
    if (intercept) return void intercept(request, response);
    const mount = mounts.find(([prefix]) => pathname.startsWith(prefix));
    try {
      if (!mount) throw new Error("no such path");
      const folder = mount[1]();
      const file = path.join(folder, decodeURIComponent(pathname.slice(mount[0].length)));
      if (!file.startsWith(folder + path.sep)) throw new Error("outside");
      const info = await stat(file);
      if (!info.isFile()) throw new Error("not a file");
      response.writeHead(200, {
        "Content-Type": types[path.extname(file)] ?? "application/octet-stream",
        "Content-Length": info.size,
        "Cache-Control": "no-cache",
      });
      createReadStream(file).pipe(response);
    } catch (error) {
      response.writeHead(404, { "Content-Type": "text/plain" }).end(`${pathname}: ${error.message}`);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    intercept(pattern, handler) {
      intercepts.set(pattern, handler);
      return () => intercepts.delete(pattern);
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
