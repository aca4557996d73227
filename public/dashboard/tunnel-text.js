import { countText, secondsText } from "../shared/quantity.js";

/** What a tunnel's figures read like. All pure. */

export function stepText(afterMs) {
  return afterMs < 1000 ? `${Math.round(afterMs)} ms` : `${(afterMs / 1000).toFixed(afterMs < 10_000 ? 1 : 0)} s`;
}

export function mbitText(mbit) {
  return `${mbit >= 100 ? Math.round(mbit) : Math.round(mbit * 10) / 10} Mbit/s`;
}

/** `3.2 of 50 Mbit/s`, or what there is of it. */
export function rateText({ measuredMbit, rateMbit }) {
  if (measuredMbit === undefined) return rateMbit === undefined ? undefined : `at most ${mbitText(rateMbit)}`;
  if (rateMbit === undefined) return mbitText(measuredMbit);
  return `${mbitText(measuredMbit).replace(" Mbit/s", "")} of ${mbitText(rateMbit)}`;
}

/** Of the end that opens connections: only there they are all counted. */
export function connectionsText({ ends }) {
  const count = ends.consumer?.connections ?? ends.producer?.connections;
  return count === undefined ? undefined : countText(count, "connection");
}

export function latencyText({ ends }) {
  const latencyMs = ends.consumer?.latencyMs ?? ends.producer?.latencyMs;
  return latencyMs === undefined ? undefined : `${Math.round(latencyMs * 10) / 10} ms`;
}

export function keysText({ keys, security }) {
  const what = security === "psk" ? "shared key" : "certificates";
  return keys.isRotating ? `${what} are being changed to ${keys.generation}` : `${what} ${keys.generation}`;
}

export function endsText({ endsAt }, nowMs) {
  if (endsAt === undefined) return undefined;
  const seconds = (Date.parse(endsAt) - nowMs) / 1000;
  return seconds <= 0 ? "is over" : `in ${secondsText(seconds)}`;
}

/** `AB:CD:…` of a fingerprint, short enough to compare by eye. */
export function pinText(pin) {
  return pin.length > 18 ? `${pin.slice(0, 16)}…` : pin;
}

export function attackText(attack) {
  return attack.replaceAll("-", " ");
}
