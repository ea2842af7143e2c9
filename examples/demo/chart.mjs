// Bars for each second: what came from where above the line, what was given away below it.
import { bytes } from "./format.mjs";

const seconds = 120;

/** Keeps the last two minutes and draws them. */
export class RateChart {
  #canvas;
  #bars = [];
  #last;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Takes totals, once a second; what is new since the last call becomes a bar. */
  add({ httpBytes, p2pBytes, uploadedBytes }) {
    const last = this.#last ?? { httpBytes, p2pBytes, uploadedBytes };
    this.#last = { httpBytes, p2pBytes, uploadedBytes };
    this.#bars.push({
      http: Math.max(0, httpBytes - last.httpBytes),
      p2p: Math.max(0, p2pBytes - last.p2pBytes),
      upload: Math.max(0, uploadedBytes - last.uploadedBytes),
    });
    if (this.#bars.length > seconds) this.#bars.shift();
    this.draw();
  }

  reset() {
    this.#bars = [];
    this.#last = undefined;
    this.draw();
  }

  draw() {
    const canvas = this.#canvas;
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.clearRect(0, 0, width, height);

    const peakUp = Math.max(0, ...this.#bars.map((bar) => bar.http + bar.p2p));
    const peakDown = Math.max(0, ...this.#bars.map((bar) => bar.upload));
    const step = niceStep(Math.max(peakUp, peakDown, 10_000) / 3);
    const linesUp = Math.max(1, Math.ceil(peakUp / step));
    const linesDown = Math.ceil(peakDown / step);
    const left = 64;
    const right = 8;
    const bottom = 22;
    const top = 10;
    const perByte = (height - top - bottom) / ((linesUp + linesDown) * step);
    const zero = top + linesUp * step * perByte;

    pen.font = `12px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let line = -linesDown; line <= linesUp; line++) {
      const y = Math.round(zero - line * step * perByte) + 0.5;
      pen.strokeStyle = colour(line === 0 ? "quiet" : "grid");
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(width - right, y);
      pen.stroke();
      pen.fillStyle = colour("quiet");
      pen.fillText(line === 0 ? "0" : bytes(Math.abs(line) * step).replace(/\.0+ /, " "), left - 8, y);
    }

    const each = (width - left - right) / seconds;
    const bar = (index, from, to, name) => {
      if (to - from <= 0) return;
      const x = width - right - (this.#bars.length - index) * each;
      pen.fillStyle = colour(name);
      pen.fillRect(x, zero - to * perByte, Math.max(1, each - 1), Math.max(0.5, (to - from) * perByte));
    };
    for (const [index, { http, p2p, upload }] of this.#bars.entries()) {
      bar(index, 0, http, "http");
      bar(index, http, http + p2p, "p2p");
      bar(index, -upload, 0, "upload");
    }

    pen.fillStyle = colour("quiet");
    pen.textBaseline = "alphabetic";
    // Fewer labels where there is no room for all.
    for (const ago of each * 30 < 70 ? [120, 60, 0] : [120, 90, 60, 30, 0]) {
      const x = width - right - ago * each;
      pen.textAlign = ago === 0 ? "right" : ago === 120 ? "left" : "center";
      pen.fillText(ago ? `${ago} s ago` : "now", x, height - 6);
    }
    const recent = this.#bars.slice(-10);
    const mean = (name) =>
      bytes(Math.round(recent.reduce((sum, b) => sum + b[name], 0) / (recent.length || 1)));
    canvas.setAttribute(
      "aria-label",
      `Bytes each second over the last ten seconds: ${mean("http")} from the origin, ${mean("p2p")} from viewers, ${mean("upload")} to viewers`,
    );
  }
}

/** 1, 2 or 5 times a power of ten, at least `wanted`. */
function niceStep(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= wanted);
}
