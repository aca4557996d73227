/** Numbers as a person reads them. */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `512 MiB`, `1.5 GiB`: as the commands say it. */
export function bytesText(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

export function countText(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function secondsText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Seconds since an ISO time. Server and page run on one machine. */
export function ageSeconds(iso) {
  return (Date.now() - Date.parse(iso)) / 1000;
}

export function clockText(iso) {
  return new Date(iso).toLocaleTimeString([], { hour12: false });
}
