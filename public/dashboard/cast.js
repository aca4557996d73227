/** A pause is at most so long where pauses are shortened. */
const MAX_PAUSE_SECONDS = 2;

/**
 * Reads an asciicast v2. A last line that is cut, as of a recording that goes on, is left out. Throws where it is none.
 *
 * @param {string} text
 * @returns {{width: number, height: number, title?: string, timestamp?: number, sluice?: object,
 *   events: {at: number, kind: string, data: string}[]}}
 */
export function parseCast(text) {
  const [first = "", ...lines] = text.split("\n");
  const head = jsonOf(first);
  if (head?.version !== 2 || !(head.width > 0) || !(head.height > 0))
    throw new Error("This is no recording (asciicast v2).");
  const events = [];
  for (const line of lines) {
    const event = line === "" ? undefined : jsonOf(line);
    if (!Array.isArray(event)) continue;
    const [at, kind, data] = event;
    if (kind === "o" || (kind === "r" && sizeOf(data) !== undefined)) events.push({ at, kind, data });
  }
  return { ...head, events };
}

/** The same with no pause longer than 2 s. */
export function shortenPauses(events) {
  let before = 0;
  let cut = 0;
  return events.map((event) => {
    cut += Math.max(0, event.at - before - MAX_PAUSE_SECONDS);
    before = event.at;
    return { ...event, at: event.at - cut };
  });
}

/** `80x24` */
export function sizeOf(text) {
  const [, cols, rows] = /^([1-9]\d{0,3})x([1-9]\d{0,3})$/.exec(text) ?? [];
  return cols === undefined ? undefined : { cols: Number(cols), rows: Number(rows) };
}

function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
