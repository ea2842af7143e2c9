// bittorrent-tracker's server for the comparison: node reference.mjs PORT [CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Server from "bittorrent-tracker/server";
import { WebSocketServer } from "ws";

const [port, cert, key] = process.argv.slice(2);
const tracker = new Server({ http: false, udp: false, ws: !cert, stats: false });
if (cert) {
  // Its own WebSocket server speaks no TLS: connections of one that does are handed to it, as its README shows.
  const https = createServer({ cert: readFileSync(cert), key: readFileSync(key) });
  const sockets = new WebSocketServer({ server: https, perMessageDeflate: false, clientTracking: false });
  sockets.on("connection", (socket, request) => {
    socket.upgradeReq = request;
    tracker.onWebSocketConnection(socket);
  });
  https.listen(Number(port), "127.0.0.1");
} else {
  tracker.listen(Number(port), "127.0.0.1");
}
