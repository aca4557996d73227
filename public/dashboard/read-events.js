/**
 * The events of an SSE body as they arrive, by the rules of the HTML standard: lines end in CR, LF or both, an event ends at
 * an empty line, `id` lasts until another one comes.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {(text: string) => void} [onComment] Hears comments, which are no events.
 * @returns {AsyncGenerator<{name: string, data: string, id: string | undefined, retryMs: number | undefined}>}
 */
export async function* readEvents(body, onComment = () => undefined) {
  let event = { name: "message", lines: [] };
  let id;
  let retryMs;
  for await (const line of readLines(body)) {
    if (line === "") {
      if (event.lines.length > 0) yield { name: event.name, data: event.lines.join("\n"), id, retryMs };
      event = { name: "message", lines: [] };
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      onComment(line.slice(1));
      continue;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") event.lines.push(value);
    else if (field === "event") event.name = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) retryMs = Number(value);
  }
}

async function* readLines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      // A CR at the end may be the first half of a line's end.
      const ready = rest.endsWith("\r") ? rest.slice(0, -1) : rest;
      const lines = ready.split(/\r\n|\r|\n/);
      const last = lines.pop() ?? "";
      rest = last + rest.slice(ready.length);
      yield* lines;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
