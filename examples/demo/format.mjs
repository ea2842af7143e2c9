// Figures for people.

/** "12.3 MB", decimal units as on a bill. */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "2:05". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  if (whole >= 3600) return [Math.floor(whole / 3600), ...parts].join(":");
  return `${Number(parts[0])}:${parts[1]}`;
}

/** "74 %". */
export const percent = (part) => `${Math.round(part * 100)} %`;
