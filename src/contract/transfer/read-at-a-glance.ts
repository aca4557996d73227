import type { z } from "zod";

/**
 * The same schema, which asks `read` first: for what comes by the thousand, where a schema takes as long for one as all else that is done with
 * it. `read` gives exactly what the schema would, or `undefined` for whatever it is not sure of: then the schema judges, and says what is wrong.
 */
export function readAtAGlance<Schema extends z.ZodObject>(
  schema: Schema,
  read: (given: Readonly<Record<string, unknown>>) => z.output<Schema> | undefined,
): Schema {
  const inner = schema._zod;
  const judge = inner.run;
  inner.run = (payload, context) => {
    const { value } = payload;
    const known = typeof value === "object" && value !== null && !Array.isArray(value) ? read({ ...value }) : undefined;
    if (known === undefined) return judge(payload, context);
    payload.value = known;
    return payload;
  };
  return schema;
}
