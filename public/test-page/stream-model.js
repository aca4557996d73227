/** Pure: what the page shows of streams, joined from the expected set, the reports and the publishers. */

/**
 * @returns {{id: string, expected: object | undefined, boxes: {box: string, status: object}[], pictureKey: string | undefined,
 *   publisher: object | undefined}[]} one entry for each stream that is expected, reported or received
 */
export function joinStreams({ streams, reports, publishers }) {
  const entries = new Map();
  const entryOf = (id) => {
    if (!entries.has(id)) {
      entries.set(id, { id, expected: undefined, boxes: [], pictureKey: undefined, publisher: undefined });
    }
    return entries.get(id);
  };
  for (const stream of streams) {
    const entry = entryOf(stream.id);
    entry.expected = stream;
    entry.pictureKey = stream.pictures[0];
  }
  for (const { report } of reports) {
    for (const status of report.workloads) entryOf(status.id).boxes.push({ box: report.boxId, status });
  }
  const byKey = new Map(publishers.map((publisher) => [`${publisher.app}/${publisher.key}`, publisher]));
  for (const entry of entries.values()) {
    // A stream that was not started here says in its report only a masked output; its id is the usual key.
    entry.pictureKey ??= byKey.has(`live/${entry.id}`) ? `live/${entry.id}` : undefined;
    entry.publisher = byKey.get(entry.pictureKey);
    byKey.delete(entry.pictureKey);
  }
  for (const [key, publisher] of byKey) {
    if (!publisher.publishing) continue;
    Object.assign(entryOf(key), { pictureKey: key, publisher });
  }
  return [...entries.values()].sort((left, right) => left.id.localeCompare(right.id, undefined, { numeric: true }));
}

/** The one word at the top of a stream's card, and how it is coloured. */
export function headlineOf(entry, clientCount) {
  const status = entry.boxes[0]?.status;
  if (status !== undefined) return { text: status.state, tone: TONES[status.state] ?? "neutral" };
  if (entry.expected === undefined) return { text: "received", tone: "good" };
  return { text: clientCount === 0 ? "no agent" : "asked for", tone: "neutral" };
}

const TONES = {
  running: "good",
  starting: "busy",
  stopping: "busy",
  waiting: "warn",
  degraded: "warn",
  stalled: "bad",
  refused: "bad",
  unkillable: "bad",
};
