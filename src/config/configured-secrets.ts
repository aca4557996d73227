import type { AgentOptions } from "./agent-options.ts";

/**
 * The secrets that the configuration itself holds, for the redactor: the token of the environment, and what addresses
 * carry as credentials and query values. A token in a file is known to whoever reads the file.
 */
export function configuredSecrets({ link, report, streams }: AgentOptions): readonly string[] {
  const secrets = new Set<string>();
  for (const token of [link.token, link.enrolmentToken]) if (token !== undefined) secrets.add(token);
  for (const address of [link.endpoint, report.endpoint, streams.outputTemplate]) {
    if (address === undefined || !URL.canParse(address)) continue;
    const { username, password, searchParams } = new URL(address);
    // A user's name alone may be the secret; with a password it is an ordinary word.
    const credential = password === "" ? username : password;
    for (const value of [credential, decoded(credential), ...searchParams.values()]) secrets.add(value);
  }
  secrets.delete("");
  secrets.delete("{streamKey}");
  return [...secrets];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
