const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * Pure: what the form says, as the tunnel that the hub takes, without what was left empty. Throws an error with `field` for a
 * text that cannot be taken apart; what is wrong with its parts is for the hub to say.
 *
 * @param {FormData} form
 */
export function toTunnel(form) {
  const text = (name) => {
    const value = form.get(name)?.trim();
    return value === "" ? undefined : value;
  };
  const number = (name) => (text(name) === undefined ? undefined : numberOf(text(name)));
  const via = compact({ address: text("via.address"), listen: text("via.listen"), port: number("via.port") });
  const entries = listOf(text("entries")).map(entryOf);
  return compact({
    name: text("name"),
    producer: text("producer") ?? "",
    consumer: text("consumer") ?? "",
    sources: listOf(text("sources")).map(sourceOf),
    entries: entries.length === 0 ? undefined : entries,
    connections: number("connections"),
    via: Object.keys(via).length === 0 ? undefined : via,
    security: text("security"),
    minTls: text("minTls"),
    rateMbit: number("rateMbit"),
    lifetimeSeconds: secondsOf(text("lifetimeSeconds")),
  });
}

/** `10.0.0.5:554` or `[::1]:554`. */
function sourceOf(text) {
  const { host, port } = splitPort(text);
  if (host === undefined || host === "") throw problem("sources", `"${text}" given; allowed: HOST:PORT, HOST:PORT`);
  return { host, port: numberOf(port) };
}

/** `5100`, `127.0.0.1:5100`, `127.0.0.1` or `[::1]:5100`. */
function entryOf(text) {
  if (/^\d+$/.test(text)) return { port: Number(text) };
  const { host, port } = splitPort(text);
  if (host === undefined) return { address: text };
  return compact({ address: host === "" ? undefined : host, port: numberOf(port) });
}

function splitPort(text) {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(text) ?? [];
  return { host: bracketed ?? plain, port };
}

function secondsOf(text) {
  if (text === undefined) return undefined;
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([smhd])$/.exec(text) ?? [];
  if (unit === undefined) throw problem("lifetimeSeconds", `"${text}" given; allowed: such as 90s, 30m, 12h or 7d`);
  return Math.round(Number(amount) * UNIT_SECONDS[unit]);
}

function listOf(text = "") {
  return text.split(/[\s,]+/).filter((part) => part !== "");
}

/** A number that is none goes as it was written, so that the hub says what is wrong with it. */
function numberOf(text) {
  return text === "" || !Number.isFinite(Number(text)) ? text : Number(text);
}

function compact(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

function problem(field, message) {
  return Object.assign(new Error(message), { field });
}
