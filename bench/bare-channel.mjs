// How fast a bare data channel between two pages is: no engine, no protocol, only messages and backpressure.

const messageBytes = 65_536 - 16;
const highWaterBytes = 512 * 1024;
const lowWaterBytes = 128 * 1024;

/** Bits per second from `sender` to `receiver` (two pages), sending `totalBytes`. */
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
    async ([sdp, total]) => {
      const connection = new RTCPeerConnection({ iceServers: [] });
      window.bare = { connection };
      window.bare.done = new Promise((resolve) => {
        connection.ondatachannel = ({ channel }) => {
          channel.binaryType = "arraybuffer";
          const store = [];
          let bytes = 0;
          let startedAt;
          channel.onmessage = ({ data }) => {
            startedAt ??= performance.now();
            bytes += data.byteLength;
            // A receiver keeps what it gets: hold on to about one segment, then let it go.
            store.push(new Uint8Array(data));
            if (store.length > 16) store.length = 0;
            if (bytes >= total) resolve((bytes * 8000) / (performance.now() - startedAt));
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
    [offer, totalBytes],
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
    [answer, totalBytes, messageBytes, highWaterBytes, lowWaterBytes],
  );
  const bitsPerSecond = await receiver.evaluate(() => window.bare.done);
  for (const page of [sender, receiver]) await page.evaluate(() => window.bare.connection.close());
  return bitsPerSecond;
}
