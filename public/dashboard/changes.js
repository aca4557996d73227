/** More at once are counted, not read out. */
const MAX_SAID = 3;

/** Ages and counters move all the time, and are no change of state. */
function withoutNumbers(sentence) {
  return sentence.replace(/\d+(?:\.\d+)?/g, "#");
}

/**
 * Pure: what is said of the step from one set of sentences to the next. What is new is no change: a page that opens says nothing.
 *
 * @param {ReadonlyMap<string, string>} before by key
 * @param {ReadonlyMap<string, string>} after
 */
export function changesIn(before, after) {
  const changed = [...after].filter(
    ([key, sentence]) => before.has(key) && withoutNumbers(before.get(key)) !== withoutNumbers(sentence),
  );
  const said = changed.slice(0, MAX_SAID).map(([, sentence]) => sentence);
  return [...said, ...(changed.length > MAX_SAID ? [`and ${changed.length - MAX_SAID} more changes`] : [])].join(". ");
}
