// How fast a bare data channel between two pages is: no engine, no protocol, only messages and backpressure.

const messageBytes = 65_536 - 16;
// More than hlswarm lets wait: a bare channel has nothing else to send that would have to wait behind it.
const highWaterBytes = 2048 * 1024;
const lowWaterBytes = 1024 * 1024;

/** Not measured: a new connection has to find its pace first, and hlswarm's link found it before it is measured. */
const warmUpBytes = 4_000_000;

/** Bits per second from `sender` to `receiver` (two pages), sending `totalBytes` after some to warm up. */
export async function bareThroughput(sender, receiver, totalBytes) {
  const offer = await sender.evaluate(async () => {
    const connection = new RTCPeerConnection({ iceServers: [] });
    const channel = connection.createDataChannel("bare", { ordered: true });
    channel.binaryType = "arraybuffer";
    window.bare = { connection, channel };
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
  });
  const answer = await receiver.evaluate(
    async ([sdp, total, warmUp]) => {
      const connection = new RTCPeerConnection({ iceServers: [] });
      window.bare = { connection };
      window.bare.done = new Promise((resolve) => {
        connection.ondatachannel = ({ channel }) => {
          channel.binaryType = "arraybuffer";
          const store = [];
          let bytes = 0;
          let startedAt;
          channel.onmessage = ({ data }) => {
            if (bytes >= warmUp) startedAt ??= performance.now();
            bytes += data.byteLength;
            // A receiver keeps what it gets: hold on to about one segment, then let it go.
            store.push(new Uint8Array(data));
            if (store.length > 16) store.length = 0;
            if (bytes >= total) resolve(((bytes - warmUp) * 8000) / (performance.now() - startedAt));
          };
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
    [offer, warmUpBytes + totalBytes, warmUpBytes],
  );
  await sender.evaluate(
    async ([sdp, total, message, high, low]) => {
      const { connection, channel } = window.bare;
      const open = new Promise((resolve) => (channel.onopen = resolve));
      await connection.setRemoteDescription({ type: "answer", sdp });
      await open;
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
    [answer, warmUpBytes + totalBytes, messageBytes, highWaterBytes, lowWaterBytes],
  );
  const bitsPerSecond = await receiver.evaluate(() => window.bare.done);
  for (const page of [sender, receiver]) await page.evaluate(() => window.bare.connection.close());
  return bitsPerSecond;
}
