// Makes `bittorrent-tracker`'s client use @roamhq/wrtc, whose binary comes with the package. What it would use by itself
// is compiled at installation, which fails where there is no C++ toolchain.
import { register } from "node:module";

const wrtc = `import wrtc from "@roamhq/wrtc";
export const { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate } = wrtc;
export default wrtc;`;

const hooks = `export function resolve(name, context, next) {
  if (name !== "webrtc-polyfill") return next(name, context);
  return { url: ${JSON.stringify(new URL("wrtc-as-polyfill.mjs", import.meta.url).href)}, shortCircuit: true, format: "module" };
}
export function load(url, context, next) {
  if (!url.endsWith("/wrtc-as-polyfill.mjs")) return next(url, context);
  return { format: "module", shortCircuit: true, source: ${JSON.stringify(wrtc)} };
}`;

register(`data:text/javascript,${encodeURIComponent(hooks)}`);

export const { default: Client } = await import("bittorrent-tracker/client");
