/** Numbers as a person reads them. */

export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
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
