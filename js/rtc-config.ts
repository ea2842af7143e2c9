import { show } from "./options.js";

/**
 * What the browser refuses in an RTCConfiguration, each as "path: value is not allowed: why". A URL that it cannot
 * read would otherwise fail every single connection.
 */
export function rtcConfigProblems(config: RTCConfiguration): string[] {
  if (typeof RTCPeerConnection === "undefined") return [];
  const whole = refusalOf(config);
  if (!whole) return [];
  const problems: string[] = [];
  const servers = Array.isArray(config.iceServers) ? config.iceServers : [];
  servers.forEach((server, index) => {
    const many = Array.isArray(server?.urls);
    const urls = many ? server.urls : [server?.urls];
    (urls as unknown[]).forEach((url, place) => {
      const why = refusalOf({ iceServers: [{ ...server, urls: url as string }] });
      const path = `loader.rtcConfig.iceServers[${index}].urls${many ? `[${place}]` : ""}`;
      if (why) problems.push(`${path}: ${show(url)} is not allowed: ${why}`);
    });
  });
  return problems.length ? problems : [`loader.rtcConfig: not allowed: ${whole}`];
}

function refusalOf(config: RTCConfiguration): string | null {
  try {
    new RTCPeerConnection(config).close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
