type Sha256 = (bytes: Uint8Array) => ArrayBuffer;

/**
 * Makes a SHA-256 for pages that have no WebCrypto. Its text is also what a worker runs, so it uses nothing from outside
 * of itself.
 */
export function makeSha256(): Sha256 {
  const start = new Int32Array(8);
  const constants = new Int32Array(64);
  for (let n = 2, count = 0; count < 64; n++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= n; divisor++) prime &&= n % divisor !== 0;
    if (!prime) continue;
    // The first 32 bits behind the point: the arrays drop what is before it.
    if (count < 8) start[count] = n ** 0.5 * 2 ** 32;
    constants[count++] = n ** (1 / 3) * 2 ** 32;
  }
  const words = new Int32Array(64);

  const take = (state: Int32Array, view: DataView, length: number) => {
    for (let at = 0; at < length; at += 64) {
      for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + i * 4);
      for (let i = 16; i < 64; i++) {
        const x = words[i - 15] as number;
        const y = words[i - 2] as number;
        const small0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const small1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        words[i] = ((words[i - 16] as number) + small0 + (words[i - 7] as number) + small1) | 0;
      }
      let a = state[0] as number;
      let b = state[1] as number;
      let c = state[2] as number;
      let d = state[3] as number;
      let e = state[4] as number;
      let f = state[5] as number;
      let g = state[6] as number;
      let h = state[7] as number;
      for (let i = 0; i < 64; i++) {
        const big1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const one = (h + big1 + (g ^ (e & (f ^ g))) + (constants[i] as number) + (words[i] as number)) | 0;
        const big0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const two = (big0 + ((a & b) | (c & (a | b)))) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + one) | 0;
        d = c;
        c = b;
        b = a;
        a = (one + two) | 0;
      }
      (state[0] as number) += a;
      (state[1] as number) += b;
      (state[2] as number) += c;
      (state[3] as number) += d;
      (state[4] as number) += e;
      (state[5] as number) += f;
      (state[6] as number) += g;
      (state[7] as number) += h;
    }
  };

  return (bytes) => {
    const state = start.slice();
    const rest = bytes.length % 64;
    const whole = bytes.length - rest;
    take(state, new DataView(bytes.buffer, bytes.byteOffset, whole), whole);
    const tail = new Uint8Array(rest < 56 ? 64 : 128);
    tail.set(bytes.subarray(whole));
    tail[rest] = 0x80;
    const view = new DataView(tail.buffer);
    // The length in bits; what is hashed is far below half a gigabyte.
    view.setUint32(tail.length - 4, bytes.length * 8);
    take(state, view, tail.length);
    const digest = new DataView(new ArrayBuffer(32));
    for (const [i, word] of state.entries()) digest.setInt32(i * 4, word);
    return digest.buffer;
  };
}

/** Hashes in a worker, so that the page's own thread is free. Where the worker fails, the page's own thread does it. */
export class Hasher {
  readonly #worker: Worker;
  readonly #url: string;
  /** What is being hashed, in this order. */
  #waiting: { bytes: Uint8Array; done(digest: ArrayBuffer): void }[] = [];
  #own: Sha256 | undefined;

  constructor() {
    const work = `const hash=(${makeSha256})();onmessage=({data})=>{const digest=hash(data);postMessage(digest,[digest])}`;
    this.#url = URL.createObjectURL(new Blob([work], { type: "text/javascript" }));
    this.#worker = new Worker(this.#url);
    this.#worker.onmessage = ({ data }) => this.#waiting.shift()?.done(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.close();
      const own = makeSha256();
      this.#own = own;
      for (const { bytes, done } of this.#waiting.splice(0)) done(own(bytes));
    };
  }

  digest(bytes: Uint8Array): Promise<ArrayBuffer> {
    return new Promise((done) => {
      if (this.#own) return done(this.#own(bytes));
      // A copy goes: should the worker fail, the bytes are needed here.
      this.#waiting.push({ bytes, done });
      this.#worker.postMessage(bytes);
    });
  }

  close(): void {
    this.#worker.terminate();
    URL.revokeObjectURL(this.#url);
  }
}
