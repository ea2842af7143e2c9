// Plays the demo in headless browsers, checks every buffer, and prints what came from where.
import { launchChromium } from "../../tests/browser/harness/chromium.mjs";
import { checkBuffers } from "../../tests/browser/harness/truth.mjs";
import { at } from "./run.mjs";

const joinGapMs = 1000;

/**
 * Plays with so many viewers, one joining each second.
 *
 * @param {Awaited<ReturnType<import("./demo.mjs").startDemo>>} demo
 * @param {{ peers: number, seconds: number, stream: "vod" | "live" }} options `seconds` counts from the last joining
 * @returns {Promise<string[]>} what is wrong; empty when peers carried segments and every byte was right
 */
export async function prove(demo, { peers, seconds, stream }) {
  console.log(
    `${peers} viewers join a second apart and watch the ${stream === "vod" ? "film" : "live stream"} for ${seconds} s`,
  );
  const browser = await launchChromium();
  try {
    const pages = [];
    for (let i = 0; i < peers; i++) {
      if (i) await new Promise((done) => setTimeout(done, joinGapMs));
      // A context of its own: its own cache and its own process, as another machine would have.
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
      const page = await context.newPage();
      page.on("console", (message) => {
        if (message.type() === "error") console.error(`viewer ${i + 1}: ${message.text()}`);
      });
      await page.goto(`${demo.url}?prove&stream=${stream}`);
      pages.push(page);
    }
    await new Promise((done) => setTimeout(done, seconds * 1000));
    const reports = await Promise.all(pages.map((page) => page.evaluate(() => window.proof.report())));
    if (process.env.HLSWARM_SCREENSHOT) await screenshots(pages.at(-1), process.env.HLSWARM_SCREENSHOT);
    const checks = await Promise.all(
      reports.map((report) => checkBuffers([report], demo.origin.bytesAt).then(({ wrong }) => wrong)),
    );
    return tell(reports, checks, demo.origin.segmentsServed());
  } finally {
    await browser.close();
  }
}

const mb = (bytes) => (bytes / 1e6).toFixed(2);

function tell(reports, checks, served) {
  const rows = reports.map((report, i) => {
    const { httpBytes, p2pBytes, uploadedBytes, peers } = report.stats;
    return {
      viewer: i + 1,
      "start-up ms": report.startupMs === undefined ? "never" : Math.round(report.startupMs),
      "played s": report.position.toFixed(1),
      stalls: report.stalls,
      peers,
      "HTTP MB": mb(httpBytes),
      "P2P MB": mb(p2pBytes),
      "sent MB": mb(uploadedBytes),
      "P2P share": httpBytes + p2pBytes ? `${Math.round((100 * p2pBytes) / (httpBytes + p2pBytes))} %` : "–",
      buffers: report.buffers.length,
      wrong: checks[i].length,
    };
  });
  console.log(`\n${textTable(rows)}\n`);
  const received = reports.reduce((sum, { stats }) => sum + stats.httpBytes + stats.p2pBytes, 0);
  const p2pBytes = reports.reduce((sum, { stats }) => sum + stats.p2pBytes, 0);
  const share = received ? Math.round((100 * p2pBytes) / received) : 0;
  const ideal = Math.round((100 * (reports.length - 1)) / reports.length);
  console.log(
    `The viewers received ${mb(received)} MB, ${share} % of it from each other (at best ${ideal} %).`,
  );
  console.log(
    `The origin served ${mb(served.bytes)} MB of segments, ${mb(served.uniqueBytes)} MB of them different: ${served.copies.toFixed(2)} copies.`,
  );

  const problems = checks.flat();
  for (const [i, report] of reports.entries()) {
    if (report.startupMs === undefined) problems.push(`viewer ${i + 1} never began to play`);
    if (report.buffers.length === 0) problems.push(`viewer ${i + 1} was given no segment at all`);
    for (const error of report.errors) problems.push(`viewer ${i + 1}: ${error}`);
  }
  if (reports.length > 1 && p2pBytes === 0) problems.push("peers carried nothing");
  return problems;
}

/** Right-aligned columns. */
function textTable(rows) {
  const names = Object.keys(rows[0]);
  const lines = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map((line) => line.map((text, i) => text.padStart(widths[i])).join("  ")).join("\n");
}

async function screenshots(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(1500);
    await page.screenshot({ path: at(`${name}-${colorScheme}.png`), fullPage: true });
  }
}
