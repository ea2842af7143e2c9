// One Chromium for all pages. Each viewer gets a browser context of its own: its own renderer process, HTTP cache and
// user agent.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--mute-audio",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  // Peers on one machine find each other by loopback addresses.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--allow-loopback-in-peer-connection",
  // Only one of several pages is in front; the others are viewers all the same.
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

function executable() {
  const candidates = [
    process.env.CHROMIUM,
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
  ];
  const found = candidates.find((file) => file && existsSync(file));
  if (found) return found;
  const own = chromium.executablePath();
  if (own && existsSync(own)) return own;
  throw new Error("no Chromium found: install the package `chromium`, or name one in the variable CHROMIUM");
}

/** Starts Chromium without a window. */
export function launchChromium({ args = [] } = {}) {
  return chromium.launch({ executablePath: executable(), headless: true, args: [...flags, ...args] });
}

/** The process that runs a page: the one that works most while the page is made to. */
export async function rendererOf(browser, page) {
  const session = await browser.newBrowserCDPSession();
  const renderers = async () => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return new Map(
      processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]),
    );
  };
  const before = await renderers();
  await page.evaluate(() => {
    const until = performance.now() + 1000;
    while (performance.now() < until);
  });
  const worked = [...(await renderers())].map(([id, seconds]) => ({
    id,
    seconds: seconds - (before.get(id) ?? 0),
  }));
  await session.detach();
  return worked.sort((a, b) => b.seconds - a.seconds)[0].id;
}
