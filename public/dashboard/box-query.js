const NAMES = ["text", "labels", "state", "connection"];

/** What the list of boxes is narrowed to; it lives in the address, so that it can be kept and shared. */
export function createBoxQuery(from) {
  const values = new Map(NAMES.map((name) => [name, from.get(name) ?? ""]));
  const given = () => [...values].filter(([, value]) => value.trim() !== "");
  return {
    get: (name) => values.get(name),
    set: (name, value) => void values.set(name, value),
    isEmpty: () => given().length === 0,
    toQuery: () => Object.fromEntries(given()),
    toHash: () => `#/boxes${given().length === 0 ? "" : `?${new URLSearchParams(given())}`}`,
  };
}

const CONNECTION_RANK = ["offline", "degraded", "online", "never"];

/** Pure: each box once; those that need a person first, then by name. */
export function unwellFirst(boxes) {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  return [...byId.values()].sort(
    (left, right) =>
      rankOf(left) - rankOf(right) ||
      left.name.localeCompare(right.name, undefined, { numeric: true }) ||
      (left.id < right.id ? -1 : 1),
  );
}

function rankOf({ state, quarantine, connection, workloads, incidents }) {
  if (state === "revoked") return 9;
  if (quarantine !== undefined) return 0;
  if (connection === "offline") return 1;
  if (workloads.unwell > 0 || incidents.length > 0) return 2;
  if (state === "pending") return 3;
  return 4 + CONNECTION_RANK.indexOf(connection);
}
