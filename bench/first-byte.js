// Runs before anything else in a viewer's page: counts connections, and notes when the first segment bytes of a peer
// arrive. Both libraries send them in messages far longer than anything else that they say, so this needs no help of
// either.
(() => {
  const segmentMessageBytes = 8192;
  const watch = (channel) => {
    const look = ({ data }) => {
      if ((data.byteLength ?? data.size ?? 0) < segmentMessageBytes) return;
      window.firstPeerByteAt ??= performance.now();
      channel.removeEventListener("message", look);
    };
    channel.addEventListener("message", look);
  };
  window.connectionsMade = 0;
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.connectionsMade++;
      this.addEventListener("datachannel", ({ channel }) => watch(channel));
    }
    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      watch(channel);
      return channel;
    }
  };
})();
