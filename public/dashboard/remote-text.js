/** What is said of remote sessions, in words. */

/** @param {{kind: string, argv?: string[], user?: string, cwd?: string, session?: string, targets?: object[],
 *   ports?: object[]}} operation */
export function operationText(operation) {
  const { kind, argv = [], user, cwd, session, targets = [], ports = [] } = operation;
  const place = [user === undefined ? "" : ` as ${user}`, cwd === undefined ? "" : ` in ${cwd}`].join("");
  if (kind === "shell") return `shell${place}`;
  if (kind === "exec") return `${argv.join(" ")}${place}`;
  if (kind === "attach") return `attach to ${session}`;
  if (kind === "forward") return `forward to ${targets.map(targetText).join(", ")}`;
  if (kind === "session") {
    return `session ${session}, ${ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", ")}`;
  }
  return argv.length === 0 ? kind : argv.join(" ");
}

function targetText({ protocol, host, from, to }) {
  const name = host.includes(":") ? `[${host}]` : host;
  return `${name}:${from === to ? from : `${from}-${to}`}/${protocol}`;
}

/** How a shell ended. @param {{code?: number, signal?: string, verified: boolean}} exit */
export function shellEndText({ code, signal, verified }) {
  const how =
    signal === undefined ? `The shell has ended with exit code ${code}.` : `The shell was ended by signal ${signal}.`;
  return verified ? how : `${how} Some of what it wrote is missing.`;
}

/** `1:05`, `1:01:05`. */
export function clockOf(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}
