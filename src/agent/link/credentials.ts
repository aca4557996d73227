import { readFile } from "node:fs/promises";
import { AppError, messageOf } from "../../base/errors.ts";

/** An address as it is dialled, and what its userinfo says: fetch refuses addresses that hold any. */
export interface Address {
  readonly url: URL;
  /** For people: no userinfo, no values in the query. */
  readonly masked: string;
  /** `Basic …`, from the userinfo. */
  readonly basic: string | undefined;
}

/** Throws `config` for what is not an http or https URL; the message does not repeat it. */
export function parseAddress(text: string, field: string): Address {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    const given = url === undefined ? "a text that is no URL" : `a URL with ${url.protocol}`;
    throw new AppError("config", `${field}: given ${given}; allowed: http or https`, { field });
  }
  const { username, password } = url;
  url.username = "";
  url.password = "";
  url.hash = "";
  const basic =
    username === "" && password === ""
      ? undefined
      : `Basic ${Buffer.from(`${decodePercent(username)}:${decodePercent(password)}`).toString("base64")}`;
  const names = [...url.searchParams.keys()].map((name) => `${encodeURIComponent(name)}=***`);
  const query = names.length === 0 ? "" : `?${names.join("&")}`;
  return { url, masked: `${url.origin}${url.pathname}${query}`, basic };
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The header's value: the token where there is one, else what the address held. A token that no header can carry throws. */
export function authorizationFor(token: string | undefined, address: Address): string | undefined {
  const trimmed = token?.trim() ?? "";
  if (trimmed === "") return address.basic;
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    const length = trimmed.length;
    throw new AppError(
      "config",
      `token: given ${length} characters with blanks or control characters among them; allowed: printable ASCII`,
    );
  }
  return `Bearer ${trimmed}`;
}

/** Reads the token anew at each call, because the file may be replaced while the agent runs. */
export async function readTokenFile(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new AppError("unavailable", `cannot read the token file: ${messageOf(cause)}`, { cause });
  }
}
