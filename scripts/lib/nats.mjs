// Where the NATS server is: the tracker's cluster is tested with real ones.
import { existsSync } from "node:fs";
import { which } from "./run.mjs";

/** The program, or nothing. Debian puts it where only root looks. */
export function natsServer() {
  if (process.env.NATS_SERVER) return which(process.env.NATS_SERVER);
  return which("nats-server") ?? ["/usr/sbin/nats-server"].find((file) => existsSync(file));
}
