import { bytesText } from "../shared/quantity.js";

/** Values on the axes of charts. */
export const percent = (value) => `${round(value)} %`;
export const celsius = (value) => `${round(value)} °C`;
export const bytes = (value) => bytesText(Math.round(value));
export const kbitPerSecond = (value) =>
  value >= 10_000 ? `${round(value / 1000)} Mbit/s` : `${Math.round(value)} kbit/s`;
export const times = (value) => `${Math.round(value * 100) / 100}×`;
export const plain = (value) => String(round(value));

function round(value) {
  return Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
}
