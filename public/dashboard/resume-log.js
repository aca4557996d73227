const MOST_LINES = "10000";

/**
 * Where a reading of a session's log goes on after a break: from the last line that came, without those that came already. A line of any other
 * log does not say where it stands; such a log goes on with what is new.
 */
export function createResume() {
  let last;
  let known = 0;
  /** The hub says with a gap that a reading broke off; what came then is read after it. */
  let unsized;

  const shownOf = (record) => {
    if (record.type !== "line" || record.output === undefined || record.at === undefined) return [record];
    if (known > 0 && record.at === last.at) {
      known--;
      return [];
    }
    const isBehind = known > 0;
    known = 0;
    last = { at: record.at, lines: record.at === last?.at ? last.lines + 1 : 1 };
    return isBehind ? [{ type: "gap", reason: "more was written meanwhile than can be asked for" }, record] : [record];
  };

  return {
    /** What to ask for, with `tail` lines for the first reading. */
    query: (tail, isFirst) => {
      known = last?.lines ?? 0;
      if (last !== undefined) return { tail: MOST_LINES, since: last.at };
      return { tail: isFirst ? tail : "0" };
    },
    /** The records to show for one that came. */
    take: (record) => {
      const before = unsized === undefined || (last !== undefined && record.type === "end") ? [] : [unsized];
      unsized = record.type === "gap" && record.lines === undefined && record.bytes === undefined ? record : undefined;
      return unsized === undefined ? [...before, ...shownOf(record)] : before;
    },
  };
}
