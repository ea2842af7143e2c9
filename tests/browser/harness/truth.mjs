// Compares what players were handed with what is on the origin's disk.
import { createHash } from "node:crypto";

/**
 * Checks every recorded buffer of a report.
 *
 * @param reports reports of viewers
 * @param bytesAt `(url, start, end) => Promise<Uint8Array>`: the origin's bytes; `end` 0 means to the end
 * @returns `{ checked, wrong }`: how many were compared, and a line for each that differs
 */
export async function checkBuffers(reports, bytesAt) {
  const known = new Map();
  const wrong = [];
  let checked = 0;
  for (const [viewer, report] of reports.entries()) {
    for (const { url, rangeStart, rangeEnd, sha256, bytes, sn } of report.buffers) {
      const id = `${url} ${rangeStart}-${rangeEnd}`;
      if (!known.has(id)) {
        known.set(
          id,
          createHash("sha256")
            .update(await bytesAt(url, rangeStart, rangeEnd))
            .digest("hex"),
        );
      }
      checked++;
      if (known.get(id) !== sha256)
        wrong.push(
          `viewer ${viewer}: segment ${sn}, ${id}, ${bytes} bytes: ${sha256} instead of ${known.get(id)}`,
        );
    }
  }
  return { checked, wrong };
}
