import { BYTE_UNITS } from "../../../contract/quantity.ts";

/** Amounts as the metrics API writes them: `12345678n`, `250m`, `1` for cores; `123456Ki` for bytes. */
const FACTORS: Readonly<Record<string, number>> = { n: 1e-9, u: 1e-6, m: 1e-3, ...BYTE_UNITS };

/** Undefined for what is no amount. */
export function parseUsageQuantity(text: string): number | undefined {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)([a-zA-Z]{0,2})$/.exec(text) ?? [];
  const factor = FACTORS[unit];
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor;
}
