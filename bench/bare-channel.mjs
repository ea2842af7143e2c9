// How fast a bare data channel between two pages is: no engine, no protocol, only messages and backpressure.

const messageBytes = 65_536 - 16;
// More than hlswarm lets wait: a bare channel has nothing else to send that would have to wait behind it.
const highWaterBytes = 2048 * 1024;
const lowWaterBytes = 1024 * 1024;

/** Not measured: a new connection has to find its pace first, and hlswarm's link found it before it is measured. */
const warmUpBytes = 4_000_000;

/** Connects two pages by a channel that is open when this resolves: `window.bare[name]` of each, `{ connection, channel }`. */
export async function connectBare(offerer, answerer, name) {
  const offer = await offerer.evaluate(async (as) => {
    const connection = new RTCPeerConnection({ iceServers: [] });
    const channel = connection.createDataChannel("bare", { ordered: true });
    channel.binaryType = "arraybuffer";
    const open = new Promise((resolve) => (channel.onopen = resolve));
    window.bare = { ...window.bare, [as]: { connection, channel, open } };
    await connection.setLocalDescription();
    await gathered(connection);
    return connection.localDescription.sdp;

    function gathered(of) {
      return new Promise((resolve) => {
        const look = () => of.iceGatheringState === "complete" && resolve();
        of.addEventListener("icegatheringstatechange", look);
        look();
      });
    }
  }, name);
  const answer = await answerer.evaluate(
    async ([as, sdp]) => {
      const connection = new RTCPeerConnection({ iceServers: [] });
      const entry = { connection };
      window.bare = { ...window.bare, [as]: entry };
      entry.open = new Promise((resolve) => {
        connection.ondatachannel = ({ channel }) => {
          channel.binaryType = "arraybuffer";
          entry.channel = channel;
          resolve();
        };
      });
      await connection.setRemoteDescription({ type: "offer", sdp });
      await connection.setLocalDescription();
      await new Promise((resolve) => {
        const look = () => connection.iceGatheringState === "complete" && resolve();
        connection.addEventListener("icegatheringstatechange", look);
        look();
      });
      return connection.localDescription.sdp;
    },
    [name, offer],
  );
  await offerer.evaluate(
    ([as, sdp]) => window.bare[as].connection.setRemoteDescription({ type: "answer", sdp }),
    [name, answer],
  );
  for (const page of [offerer, answerer]) await page.evaluate((as) => window.bare[as].open, name);
}

/** Bits per second from `sender` to `receiver` (two pages), sending `totalBytes` after some to warm up. */
export async function bareThroughput(sender, receiver, totalBytes) {
  await connectBare(sender, receiver, "line");
  await receiver.evaluate(
    ([total, warmUp]) => {
      const { line } = window.bare;
      line.done = new Promise((resolve) => {
        const store = [];
        let bytes = 0;
        let startedAt;
        line.channel.onmessage = ({ data }) => {
          if (bytes >= warmUp) startedAt ??= performance.now();
          bytes += data.byteLength;
          // A receiver keeps what it gets: hold on to about one segment, then let it go.
          store.push(new Uint8Array(data));
          if (store.length > 16) store.length = 0;
          if (bytes >= total) resolve(((bytes - warmUp) * 8000) / (performance.now() - startedAt));
        };
      });
    },
    [warmUpBytes + totalBytes, warmUpBytes],
  );
  await sender.evaluate(
    ([total, message, high, low]) => {
      const { channel } = window.bare.line;
      channel.bufferedAmountLowThreshold = low;
      const segment = new Uint8Array(1_000_000);
      let sent = 0;
      const pump = () => {
        while (sent < total && channel.bufferedAmount < high) {
          const at = sent % segment.length;
          const piece = segment.subarray(at, Math.min(at + message, segment.length, at + total - sent));
          channel.send(piece);
          sent += piece.length;
        }
      };
      channel.onbufferedamountlow = pump;
      pump();
    },
    [warmUpBytes + totalBytes, messageBytes, highWaterBytes, lowWaterBytes],
  );
  const bitsPerSecond = await receiver.evaluate(() => window.bare.line.done);
  for (const page of [sender, receiver]) await page.evaluate(() => window.bare.line.connection.close());
  return bitsPerSecond;
}
