/**
 * Pure: what the form says, as the request that the hub takes, without what was left empty; what is wrong with it is for the hub to say.
 *
 * @param {FormData} form
 */
export function toTransfer(form) {
  const text = (name) => {
    const value = form.get(name)?.trim();
    return value === "" ? undefined : value;
  };
  const number = (name) => numberOf(text(name));
  return compact({
    mode: text("mode"),
    source_path: text("source_path") ?? "",
    destination_path: text("destination_path") ?? "",
    source_box: text("source_box"),
    destination_box: text("destination_box"),
    include: patternsOf(text("include")),
    exclude: patternsOf(text("exclude")),
    chunk_size_mb: number("chunk_size_mb"),
    verify: text("verify"),
    priority: text("priority"),
    bandwidth_mbps: number("bandwidth_mbps"),
    delete_extraneous: form.get("delete_extraneous") === null ? undefined : true,
  });
}

/** One pattern a line: a pattern may hold commas and spaces. */
function patternsOf(text) {
  return text
    ?.split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** A number that is none goes as it was written, so that the hub says what is wrong with it. */
function numberOf(text) {
  return text === undefined || !Number.isFinite(Number(text)) ? text : Number(text);
}

function compact(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
