import { isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { parseEnrolmentString } from "../contract/fleet/enrolment-string.ts";
import {
  CORES_ALLOWED,
  coresQuantitySchema,
  MEMORY_ALLOWED,
  memoryQuantitySchema,
  parseBytes,
} from "../contract/quantity.ts";
import { maskAddress } from "./mask-address.ts";

/** One kind of option value: what it accepts, how it is written as text, and how it may be shown. */
export interface OptionValue<T> {
  /** What is allowed, for messages and the manual: `a number of seconds from 1 to 300`. */
  readonly allowed: string;
  /** Stands for the value in `--flag <placeholder>`. */
  readonly placeholder: string;
  readonly schema: z.ZodType<T>;
  /** From an environment name or a flag to what a YAML file would hold; anything that the schema refuses if it is wrong. */
  fromText(text: string, cwd: string): unknown;
  /** The form that may be shown; only addresses hold secrets. */
  mask?(text: string): string;
}

const asIs = (text: string): unknown => text;
const NO_CONTROL_CHARACTERS = /^[^\p{Cc}]*$/u;

export function textValue(maxLength: number): OptionValue<string> {
  return {
    allowed: `text of 1 to ${maxLength} characters`,
    placeholder: "text",
    schema: z.string().min(1).max(maxLength).regex(NO_CONTROL_CHARACTERS),
    fromText: asIs,
  };
}

/** Text that a schema of the contract describes. */
export function schemaValue(schema: z.ZodType<string>, allowed: string, placeholder: string): OptionValue<string> {
  return { allowed, placeholder, schema, fromText: asIs };
}

/** `20000-20999`, both ends included. */
export function portRangeValue(): OptionValue<string> {
  return {
    allowed: "two ports from 1024 to 65535, the first not above the second: 20000-20999",
    placeholder: "from-to",
    schema: z.string().refine((text) => {
      const [, from, to] = /^(\d{4,5})-(\d{4,5})$/.exec(text)?.map(Number) ?? [];
      return from !== undefined && to !== undefined && from >= 1024 && from <= to && to <= 65_535;
    }),
    fromText: asIs,
  };
}

/** What a hub printed for a box that is to enrol. */
export function enrolmentTokenValue(): OptionValue<string> {
  return {
    allowed: "an enrolment token as the hub printed it, from sluice1. to its end",
    placeholder: "token",
    schema: z.string().refine((text) => parseEnrolmentString(text) !== undefined),
    fromText: asIs,
    mask: () => "***",
  };
}

/** The address of an HTTP server. */
export function httpAddressValue(): OptionValue<string> {
  return {
    allowed: "an http:// or https:// address, at most 4096 characters",
    placeholder: "url",
    schema: z
      .string()
      .max(4096)
      .refine((text) => {
        const url = URL.canParse(text) ? new URL(text) : undefined;
        return (url?.protocol === "http:" || url?.protocol === "https:") && !/\s/.test(text);
      }),
    fromText: asIs,
    mask: maskAddress,
  };
}

/** An address of this machine that no other machine reaches, with a port. */
export function loopbackListenValue(): OptionValue<string> {
  return {
    allowed: "a loopback address with a port, for example 127.0.0.1:9464",
    placeholder: "address:port",
    schema: z.string().refine((text) => {
      const port = /^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost):(\d{1,5})$/.exec(text)?.[1];
      return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535 && URL.canParse(`http://${text}`);
    }),
    fromText: asIs,
  };
}

/** An address with a place for the stream key. */
export function outputTemplateValue(): OptionValue<string> {
  return {
    allowed: "an address with {streamKey} in it, for example rtmp://host/live/{streamKey}",
    placeholder: "template",
    schema: z
      .string()
      .max(4096)
      .regex(/^[a-z][a-z0-9+.-]*:\/\/\S+$/i)
      .refine((text) => text.includes("{streamKey}")),
    fromText: asIs,
    mask: maskAddress,
  };
}

export function pathValue(): OptionValue<string> {
  return {
    allowed: "an absolute path",
    placeholder: "path",
    schema: z.string().max(4096).regex(NO_CONTROL_CHARACTERS).refine(isAbsolute),
    fromText: (text, cwd) => resolve(cwd, text),
  };
}

/** The name of a program in `PATH`, or its absolute path. */
export function programValue(): OptionValue<string> {
  return {
    allowed: "a program's name or its absolute path",
    placeholder: "program",
    schema: z
      .string()
      .min(1)
      .max(4096)
      .regex(NO_CONTROL_CHARACTERS)
      .refine((text) => !text.startsWith("-") && (isAbsolute(text) || !text.includes("/"))),
    fromText: asIs,
  };
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

export function secondsValue({ min, max }: Range): OptionValue<number> {
  return {
    allowed: `a number of seconds from ${min} to ${max}`,
    placeholder: "seconds",
    schema: z.number().min(min).max(max),
    fromText: numberFromText,
  };
}

export function countValue({ min, max }: Range): OptionValue<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    placeholder: "number",
    schema: z.int().min(min).max(max),
    fromText: numberFromText,
  };
}

/** A number of bytes, or one with a unit; 0 where it is allowed. */
export function bytesValue({ min, max }: Range): OptionValue<number> {
  return {
    allowed: `a number of bytes from ${min} to ${max}, also with a unit: 512Mi, 20Gi`,
    placeholder: "bytes",
    schema: z
      .union([z.number(), z.string()])
      .transform((given) => (typeof given === "number" ? given : (parseBytes(given) ?? Number.NaN)))
      .pipe(z.int().min(min).max(max)),
    fromText: asIs,
  };
}

/** A limit on memory, as a workload's spec writes it. */
export function memoryValue(): OptionValue<string> {
  return { allowed: MEMORY_ALLOWED, placeholder: "memory", schema: memoryQuantitySchema, fromText: asIs };
}

/** A limit on processor time, as a workload's spec writes it. */
export function coresValue(): OptionValue<string> {
  const schema = z.union([z.number().transform(String), z.string()]).pipe(coresQuantitySchema);
  return { allowed: CORES_ALLOWED, placeholder: "cores", schema, fromText: asIs };
}

export function choiceValue<const T extends string>(choices: readonly [T, ...T[]]): OptionValue<T> {
  return {
    allowed: choices.join(", ").replace(/, ([^,]*)$/, " or $1"),
    placeholder: choices.join("|"),
    schema: z.enum(choices),
    fromText: (text) => text.toLowerCase(),
  };
}

export function booleanValue(): OptionValue<boolean> {
  return {
    allowed: "true or false",
    placeholder: "true|false",
    schema: z.boolean(),
    fromText: (text) => BOOLEAN_WORDS[text.toLowerCase()] ?? text,
  };
}

/** A list; as text, its items are separated by commas. */
export function listValue<Item extends string>(
  item: z.ZodType<Item>,
  allowedItems: string,
): OptionValue<readonly Item[]> {
  return {
    allowed: `a list of ${allowedItems}, at most 100`,
    placeholder: "item,item",
    schema: z.array(item).max(100),
    fromText: splitList,
  };
}

/** Names with values; as text `name=value,name=value`. */
export function labelsValue(): OptionValue<Readonly<Record<string, string>>> {
  return {
    allowed: "names with text values, for example {site: north} or site=north,role=gate; at most 64",
    placeholder: "name=value,…",
    schema: z
      .record(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}$/), z.string().max(200).regex(NO_CONTROL_CHARACTERS))
      .refine((labels) => Object.keys(labels).length <= 64),
    fromText: (text) => {
      const pairs = splitList(text).map((pair): [string, unknown] => {
        const equals = pair.indexOf("=");
        return equals < 0 ? [pair, undefined] : [pair.slice(0, equals), pair.slice(equals + 1)];
      });
      return Object.fromEntries(pairs);
    },
  };
}

const BOOLEAN_WORDS: Readonly<Record<string, boolean>> = {
  "1": true,
  true: true,
  yes: true,
  on: true,
  "0": false,
  false: false,
  no: false,
  off: false,
};

function numberFromText(text: string): unknown {
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
