// npm start [-- --headless --peers N]: the tracker, a sample origin, and a page that plays with peers.
import { parseArgs } from "node:util";
import { buildPackage, buildTracker } from "./lib/build.mjs";
import { exitOnProblem, Problem } from "./lib/run.mjs";
import { setUp } from "./lib/setup.mjs";

const help = `npm start -- [options]

Sets up what is missing, then runs the tracker, an origin with a sample film and a live stream, and a page that plays
them with peers. Open the page in two windows to see them share.

  --port N         port of the page (default 8080; 0 takes a free one)
  --host ADDRESS   address to listen on (default 127.0.0.1)
  --headless       prove it instead: play in headless browsers, print a table, and fail if peers carried nothing or a
                   byte was wrong
  --peers N        viewers with --headless (default 3)
  --seconds N      how long they watch with --headless (default 40)
  --stream NAME    vod or live, with --headless (default vod)
`;

function wholeNumber(name, text, from, to) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < from || value > to) {
    throw new Problem(`--${name} ${text}: a whole number from ${from} to ${to} is allowed`);
  }
  return value;
}

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        port: { type: "string" },
        host: { type: "string", default: "127.0.0.1" },
        headless: { type: "boolean", default: false },
        peers: { type: "string", default: "3" },
        seconds: { type: "string", default: "40" },
        stream: { type: "string", default: "vod" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new Problem(`${error.message}; \`npm start -- --help\` lists the options`);
  }
  if (!["vod", "live"].includes(values.stream))
    throw new Problem(`--stream ${values.stream}: vod or live is allowed`);
  return {
    ...values,
    port: wholeNumber("port", values.port ?? (values.headless ? "0" : "8080"), 0, 65535),
    peers: wholeNumber("peers", values.peers, 1, 30),
    seconds: wholeNumber("seconds", values.seconds, 5, 3600),
  };
}

async function main() {
  const options = readOptions();
  if (options.help) return void console.log(help);
  await setUp(["rust", "npm", "wasm", "ffmpeg", ...(options.headless ? ["chromium"] : [])]);
  await buildPackage();
  const tracker = await buildTracker();
  // Loaded late: they need npm packages.
  const { startDemo } = await import("./lib/demo.mjs");
  const demo = await startDemo({ ...options, tracker }).catch((error) => {
    if (error.code === "EADDRINUSE") {
      throw new Problem(`port ${options.port} is taken: choose another one with \`npm start -- --port N\``);
    }
    throw error;
  });
  if (options.headless) {
    const { prove } = await import("./lib/prove.mjs");
    const problems = await prove(demo, options);
    await demo.close();
    for (const problem of problems) console.error(`wrong: ${problem}`);
    console.log(problems.length ? "FAILED" : "Every buffer was right, and peers carried segments.");
    process.exit(problems.length ? 1 : 0);
  }
  console.log(`\nThe page is at ${demo.url} - open it in two windows to see them share. Ctrl-C ends it.`);
  console.log(`tracker ${demo.trackerUrl}, origin ${demo.origin.url}`);
}

main().catch(exitOnProblem("start"));
