import { z } from "zod";

/** Amounts as Kubernetes writes them: `256Mi`, `2G`, `500m`, `1.5`. */
export const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};
const BYTES = /^(\d{1,15}(?:\.\d{1,3})?)(|k|M|G|T|Ki|Mi|Gi|Ti)$/;
const CORES = /^(\d{1,7})m$|^(\d{1,5}(?:\.\d{1,3})?)$/;

/** Whole bytes; undefined for what is no amount of memory. */
export function parseBytes(text: string): number | undefined {
  const [, amount, unit] = BYTES.exec(text) ?? [];
  const factor = unit === undefined ? undefined : BYTE_UNITS[unit];
  if (amount === undefined || factor === undefined) return undefined;
  const bytes = Math.floor(Number(amount) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Processor cores: `500m` is half of one; undefined for what is no amount of them. */
export function parseCores(text: string): number | undefined {
  const [, thousandths, whole] = CORES.exec(text) ?? [];
  if (thousandths !== undefined) return Number(thousandths) / 1000;
  return whole === undefined ? undefined : Number(whole);
}

/** Less than this no FFmpeg starts with. */
export const LEAST_MEMORY_BYTES = 16 * 2 ** 20;
/** The kernel's scheduler takes no smaller share than a hundredth of a core. */
export const LEAST_CORES = 0.01;
const MOST_CORES = 1024;

export const MEMORY_ALLOWED = "an amount of memory from 16Mi on, for example 256Mi or 1Gi";
export const CORES_ALLOWED = "an amount of processor cores from 10m to 1024, for example 500m or 2";

export const memoryQuantitySchema = z
  .string()
  .refine((text) => (parseBytes(text) ?? 0) >= LEAST_MEMORY_BYTES, MEMORY_ALLOWED);

export const coresQuantitySchema = z.string().refine((text) => {
  const cores = parseCores(text);
  return cores !== undefined && cores >= LEAST_CORES && cores <= MOST_CORES;
}, CORES_ALLOWED);
