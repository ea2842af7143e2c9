// The trackers that the compared libraries meet at.
import Tracker from "bittorrent-tracker/server";

/** The tracker that p2p-media-loader's own documentation names: bittorrent-tracker. */
export async function startReferenceTracker() {
  const server = new Tracker({ http: true, udp: false, ws: true, stats: false });
  server.on("error", () => {});
  server.on("warning", () => {});
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${server.http.address().port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
