import type { HttpResponse } from "../../base/http-fetch.ts";
import { oneLine } from "../../base/log.ts";

const MAX_SHOWN_CHARACTERS = 200;

/** The body as text, its first `maxBytes` at most; what follows is not read. */
export async function readBoundedText(response: Pick<HttpResponse, "body">, maxBytes: number): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  for (let bytes = 0; bytes < maxBytes; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    text += decoder.decode(value.subarray(0, value.length - Math.max(0, bytes - maxBytes)), { stream: true });
  }
  await reader.cancel().catch(() => undefined);
  return text;
}

/** What a hub's error body says, on one line; `undefined` for any other text. */
export function problemOf(text: string): string | undefined {
  const error = errorOf(text);
  const message = error !== undefined && "message" in error ? error.message : undefined;
  return typeof message === "string" && message !== "" ? oneLine(message).slice(0, MAX_SHOWN_CHARACTERS) : undefined;
}

/** The code in a hub's error body; `undefined` for any other text. */
export function codeOf(text: string): string | undefined {
  const error = errorOf(text);
  const code = error !== undefined && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

function errorOf(text: string): object | undefined {
  const body = parseJson(text);
  const error = typeof body === "object" && body !== null && "error" in body ? body.error : undefined;
  return typeof error === "object" && error !== null ? error : undefined;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
