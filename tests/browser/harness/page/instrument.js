// Runs before anything else in a viewer's page: watches what the page opens, and provokes faults on request.
// Nothing here answers for the real thing; each wrapper passes on to it.
(() => {
  const watch = {
    /** Every RTCPeerConnection that was made. */
    connections: [],
    /** Every data channel that was made or accepted. */
    channels: [],
    /** Every WebSocket that was made. */
    sockets: [],
    /** How many web workers were made. */
    workers: 0,
    /** Texts sent over WebSockets. */
    sent: [],
    /** Timers that hlswarm set and that are still due: id -> stack. */
    timers: new Map(),
    /** Whether to keep a copy of every data channel message. */
    keepMessages: false,
    /** The copies, of both directions. */
    messages: [],
    /** Those of them that this page sent, and those that came. */
    outgoing: [],
    incoming: [],
    /** Bytes that went out over data channels. */
    channelBytes: 0,
    /** Once this many bytes have gone out, nothing more does: a peer that falls silent in the middle. */
    silentAfterBytes: Infinity,
    silent: false,
    /** Whether what the page sends first on a channel that another opened is lost, as browsers do now and then. */
    loseFirst: false,
    /** How many messages were lost so. */
    lost: 0,
    /** A peer that serves wrong bytes: true to flip one bit in each of their messages, or a kind of `corruptions`. */
    corrupt: false,
    corrupted: 0,
    /** What "another segment" and "another rendition" send instead. */
    forgery: undefined,
    /** While true, nothing comes or goes over data channels; it does afterwards, as nothing is lost on them. */
    offline: false,
    /** Ends it. */
    goOnline() {
      watch.offline = false;
      for (const pass of heldBack.splice(0)) pass();
    },
    /** While true, timers are as rare as in a tab in the background. */
    sparseTimers: false,
    /** Whether the engine traps at its next call. */
    trap: false,
    trapped: 0,
  };
  window.watch = watch;
  const heldBack = [];

  const ACCEPT = 0x05;
  const DATA = 0x00;
  const HEAD = 9;
  /** Changes a frame with segment bytes, or the accept before them; nothing says that it is not sent. */
  const onData = (change) => (bytes) => (bytes[0] === ACCEPT ? bytes : change(bytes));
  const onLength = (by) => (bytes) => {
    const view = new DataView(bytes.buffer);
    if (bytes[0] === ACCEPT && view.getUint32(5) > 0) view.setUint32(5, view.getUint32(5) + by);
    return bytes;
  };
  /** The same place of `forgery`: another segment, or the same one of another rendition. */
  const another = onData((bytes) => {
    const from = new DataView(bytes.buffer).getUint32(5);
    for (let at = HEAD; at < bytes.length; at++)
      bytes[at] = watch.forgery[(from + at - HEAD) % watch.forgery.length];
    return bytes;
  });
  const corruptions = {
    "one bit": onData((bytes) => {
      bytes[bytes.length - 1] ^= 1;
      return bytes;
    }),
    "same size": onData((bytes) => bytes.fill(42, HEAD)),
    "another segment": another,
    "another rendition": another,
    shorter: onLength(-5000),
    longer: onLength(188),
    truncated: onData((bytes) => (new DataView(bytes.buffer).getUint32(5) > 40_000 ? undefined : bytes)),
    empty: onData(() => undefined),
  };

  const bytesOf = (data) =>
    data instanceof ArrayBuffer
      ? new Uint8Array(data)
      : ArrayBuffer.isView(data)
        ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        : new TextEncoder().encode(String(data));
  const keep = (data, direction) => {
    if (!watch.keepMessages) return;
    const copy = bytesOf(data).slice();
    watch.messages.push(copy);
    direction.push(copy);
  };

  const unheard = new WeakSet();
  const NativeConnection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends NativeConnection {
    constructor(...args) {
      super(...args);
      watch.connections.push(this);
      this.addEventListener("datachannel", ({ channel }) => {
        if (watch.loseFirst) unheard.add(channel);
        listen(channel);
      });
    }
    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      listen(channel);
      return channel;
    }
  };
  function listen(channel) {
    watch.channels.push(channel);
    channel.addEventListener("message", (event) => {
      if (!watch.offline) return;
      event.stopImmediatePropagation();
      heldBack.push(() => channel.dispatchEvent(new MessageEvent("message", { data: event.data })));
    });
    channel.addEventListener("message", ({ data }) => keep(data, watch.incoming));
  }

  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (data) {
    if (unheard.delete(this)) {
      watch.lost++;
      return;
    }
    const bytes = bytesOf(data);
    if (watch.offline) {
      const copy = bytes.slice();
      heldBack.push(() => this.readyState === "open" && this.send(copy));
      return;
    }
    if (watch.channelBytes >= watch.silentAfterBytes) {
      watch.silent = true;
      return;
    }
    watch.channelBytes += bytes.length;
    keep(data, watch.outgoing);
    if (watch.corrupt && (bytes[0] === DATA || bytes[0] === ACCEPT)) {
      const wrong = corruptions[watch.corrupt === true ? "one bit" : watch.corrupt](bytes.slice());
      watch.corrupted++;
      return wrong ? send.call(this, wrong) : undefined;
    }
    return send.call(this, data);
  };

  const NativeWorker = window.Worker;
  window.Worker = class extends NativeWorker {
    constructor(...args) {
      super(...args);
      watch.workers++;
    }
  };

  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      watch.sockets.push(this);
    }
    send(data) {
      watch.sent.push(data);
      super.send(data);
    }
  };

  const ours = () => {
    const { stack } = new Error();
    // With the origin: the repository's own folder, in which this file lies, may have the same name.
    return stack.includes(`${location.origin}/hlswarm/`) ? stack : undefined;
  };
  for (const [set, clear, once] of [
    ["setTimeout", "clearTimeout", true],
    ["setInterval", "clearInterval", false],
  ]) {
    const nativeSet = window[set].bind(window);
    const nativeClear = window[clear].bind(window);
    window[set] = (handler, wantedMs, ...args) => {
      const ms = watch.sparseTimers ? Math.max(1000, wantedMs || 0) : wantedMs;
      const stack = ours();
      if (!stack || typeof handler !== "function") return nativeSet(handler, ms, ...args);
      const id = nativeSet(() => {
        if (once) watch.timers.delete(id);
        handler(...args);
      }, ms);
      watch.timers.set(id, stack);
      return id;
    };
    window[clear] = (id) => {
      watch.timers.delete(id);
      nativeClear(id);
    };
  }

  // A trap surfaces as a WebAssembly.RuntimeError thrown from the export that was called. The engine runs in a callback
  // of its own below whatever the page called, which is where it would trap. The build names those exports `i_...`.
  let depth = 0;
  const breakable = (result) => {
    const instance = result.instance ?? result;
    const exports = {};
    for (const [name, value] of Object.entries(instance.exports)) {
      exports[name] =
        typeof value !== "function"
          ? value
          : (...args) => {
              if (watch.trap && depth > 0 && name.startsWith("i_")) {
                watch.trapped++;
                throw new WebAssembly.RuntimeError("unreachable");
              }
              depth++;
              try {
                return value(...args);
              } finally {
                depth--;
              }
            };
    }
    const broken = { exports };
    return result.instance ? { instance: broken, module: result.module } : broken;
  };
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const native = WebAssembly[name].bind(WebAssembly);
    WebAssembly[name] = async (...args) => breakable(await native(...args));
  }
})();
