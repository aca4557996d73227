import { MASK } from "../base/redact.ts";

/**
 * An address as it may be shown: credentials and the values of the query are masked. Works on text that is no valid URL,
 * because that is exactly what error messages have to show.
 */
export function maskAddress(address: string): string {
  return address
    .replace(/^([^/?#]*\/\/)[^/?#]*@/, `$1${MASK}@`)
    .replace(/([?&][^=&#]*=)[^&#]*/g, `$1${MASK}`)
    .replace(/#.*$/, `#${MASK}`);
}
