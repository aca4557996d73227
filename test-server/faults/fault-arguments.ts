import { AppError } from "../../src/base/errors.ts";
import { isOneLine } from "../../src/hub/events/frame.ts";
import type { FaultArgument, FaultKind, FaultValues } from "./fault-catalog.ts";

/** Checks what was given against the catalog and fills in the rest. Throws `invalid` naming the argument. */
export function parseFaultArguments(kind: FaultKind, given: unknown): FaultValues {
  const object = given === undefined || given === null ? {} : given;
  if (typeof object !== "object" || Array.isArray(object)) {
    throw new AppError("invalid", `arguments of ${kind.name}: must be a JSON object`);
  }
  const unknown = Object.keys(object).find((name) => !kind.args.some((argument) => argument.name === name));
  if (unknown !== undefined) {
    const allowed = kind.args.map(({ name }) => name).join(", ") || "none";
    throw new AppError("invalid", `${unknown}: not an argument of ${kind.name}; allowed: ${allowed}`, {
      field: unknown,
    });
  }
  const values = new Map<string, unknown>(Object.entries(object));
  return Object.fromEntries(
    kind.args.map((argument) => [argument.name, parseOne(argument, values.get(argument.name))]),
  );
}

function parseOne(argument: FaultArgument, value: unknown): number | string | boolean | undefined {
  if (argument.optional && (value === undefined || value === null || value === "")) return undefined;
  if (value === undefined || value === null) return argument.initial;
  const fail = (allowed: string) =>
    new AppError("invalid", `${argument.name}: ${JSON.stringify(value)} given, ${allowed} allowed`, {
      field: argument.name,
    });
  switch (argument.type) {
    case "flag":
      if (typeof value !== "boolean") throw fail("true or false");
      return value;
    case "choice":
      if (typeof value !== "string" || !argument.choices?.includes(value)) {
        throw fail(`one of ${argument.choices?.join(", ")}`);
      }
      return value;
    case "text":
      if (typeof value !== "string" || value.length > 2048 || !isOneLine(value)) throw fail("one line of text");
      return value;
    case "number": {
      const min = argument.min ?? 0;
      const max = argument.max ?? Number.MAX_SAFE_INTEGER;
      if (typeof value !== "number" || !(value >= min && value <= max)) throw fail(`a number from ${min} to ${max}`);
      return value;
    }
  }
}
