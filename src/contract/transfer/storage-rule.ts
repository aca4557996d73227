import { z } from "zod";
import type { Endpoint } from "./worker-heartbeat.ts";

/** A directory of a box that transfers may use: `/data:ro` is read, `/inbox:wo` written, `/archive:rw` both. */
export interface StorageRule {
  readonly path: string;
  readonly read: boolean;
  readonly write: boolean;
}

export function parseStorageRule(text: string): StorageRule | undefined {
  const [, path, access] = /^(\/(?:[^\p{Cc}]*[^\p{Cc}/])?):(ro|wo|rw)$/u.exec(text) ?? [];
  if (path === undefined || path.length > 4096 || path.split("/").some((part) => part === "." || part === "..")) {
    return undefined;
  }
  return { path, read: access !== "wo", write: access !== "ro" };
}

export const storageRuleSchema = z.string().refine((text) => parseStorageRule(text) !== undefined);

/** `10.0.0.5:8470`, `[fd00::5]:8470`; with `/trusted` where nobody else is on that network. */
export function parseEndpointRule(text: string): Endpoint | undefined {
  const [, address, host, port, trusted] =
    /^((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(\d{1,5}))(\/trusted)?$/.exec(text) ?? [];
  if (address === undefined || host === undefined || !(Number(port) > 0 && Number(port) <= 65_535)) return undefined;
  return { address, trusted: trusted !== undefined };
}

export const endpointRuleSchema = z.string().refine((text) => parseEndpointRule(text) !== undefined);
