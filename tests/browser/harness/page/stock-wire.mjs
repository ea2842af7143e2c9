// What went over the data channels of a page in the words of p2p-media-loader, and what its engine keeps.

const kinds = ["announcement", "request", "data", "completed", "absent", "cancel"];
const text = (bytes) => String.fromCharCode(...bytes);

/** The number of a field whose type byte stands at `at`, and where the next field begins. */
function number(bytes, at) {
  const end = at + 1 + (bytes[at] & 15);
  return [bytes.slice(at + 1, end).reduce((value, byte) => value * 256 + byte, 0), end];
}

function decode(payload, parts) {
  const command = { kind: kinds[payload[0]], parts };
  if (command.kind === "announcement") return { ...command, bytes: payload.length };
  let at = 1;
  while (at < payload.length) {
    const name = String.fromCharCode(payload[at]);
    [command[name], at] = number(payload, at + 1);
  }
  return command;
}

/** The commands among messages of one direction, in order; `parts` is in how many messages each came. */
export function commandsIn(messages) {
  const commands = [];
  let open;
  for (const message of messages) {
    if (message.length < 8) continue;
    const [begin, end] = [text(message.slice(0, 4)), text(message.slice(-4))];
    if (!["cstr", "dstr"].includes(begin) || !["cend", "dend"].includes(end)) continue;
    if (begin === "cstr") open = { payload: [], parts: 0 };
    if (!open) continue;
    open.payload.push(...message.slice(4, -4));
    open.parts++;
    if (end !== "cend") continue;
    commands.push(decode(open.payload, open.parts));
    open = undefined;
  }
  return commands;
}

/** The running loader of p2p-media-loader's engine on this page. */
const core = () => window.viewer.state.hls.p2pEngine.core;

/** Its peers. */
export function stockPeers() {
  const loader = core().mainStreamLoader?.p2pLoaders.currentLoader;
  return loader ? [...loader.trackerClient.peers()] : [];
}

/** Where it keeps segments, once it is up. */
export const stockStorage = () => core().segmentStorage;

/** The segments that it keeps: `[id, bytes]`. */
export const stockSegments = () =>
  [...(stockStorage()?.cache.values() ?? [])].map(({ segmentId, data }) => [segmentId, data]);
