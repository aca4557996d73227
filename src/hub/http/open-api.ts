import { z } from "zod";
import type { Route } from "./route.ts";

type Paths = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The routes as an OpenAPI 3.1 document, from the schemas that also judge requests and answers. Pure. */
export function openApiOf(routes: readonly Route[], info: { readonly title: string; readonly version: string }) {
  return {
    openapi: "3.1.0",
    info: {
      ...info,
      description:
        "Tokens go into the header `Authorization: Bearer …` only. A change may carry an `Idempotency-Key`: the same key with the same request is carried out once. Lists answer `{items, next}` and take `after` and `limit`. Errors answer `{error: {code, message, field, retryAfter, currentRevision}}`.",
    },
    components: {
      securitySchemes: {
        operator: { type: "http", scheme: "bearer", description: "The token of an operator, with a role." },
        box: { type: "http", scheme: "bearer", description: "The key of a box." },
      },
      schemas: { Error: ERROR_SCHEMA },
    },
    paths: pathsOf(routes),
  };
}

function pathsOf(routes: readonly Route[]): Paths {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    Object.assign(paths[route.path] ?? {}, { [route.method.toLowerCase()]: operationOf(route) });
  }
  return paths;
}

const ERROR_SCHEMA = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message"],
      properties: {
        code: { type: "string" },
        message: { type: "string" },
        field: { type: "string" },
        retryAfter: { type: "number", description: "Seconds." },
        currentRevision: { type: "integer" },
      },
    },
  },
};

function operationOf(route: Route) {
  const status = String(route.status ?? (route.answer === undefined && route.stream === undefined ? 204 : 200));
  return {
    summary: route.summary,
    description: `Access: ${route.access}.`,
    operationId: `${route.method.toLowerCase()}${route.path.replace(/[^A-Za-z0-9]+(.)?/g, (_, next: string | undefined) => (next ?? "").toUpperCase())}`,
    tags: [route.path.split("/")[2] ?? "hub"],
    security: securityOf(route.access),
    parameters: [...parametersOf(route.params, "path"), ...parametersOf(route.query, "query"), ...headersOf(route)],
    ...(route.body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { "application/json": { schema: schemaOf(route.body, "input") } } },
        }),
    responses: {
      [status]: { description: "Done", ...contentOf(route) },
      default: {
        description: "An error",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

function securityOf(access: Route["access"]) {
  if (access === "public") return [];
  if (access === "worker") return [{ box: [] }, { operator: [] }];
  return access === "box" || access === "box-any-state" ? [{ box: [] }] : [{ operator: [] }];
}

function contentOf(route: Route) {
  const content = {
    ...(route.answer === undefined ? {} : { "application/json": { schema: schemaOf(route.answer, "output") } }),
    ...(route.stream === undefined || route.method !== "GET"
      ? {}
      : { [route.streamType ?? "text/event-stream"]: { schema: { type: "string" } } }),
  };
  return Object.keys(content).length === 0 ? {} : { content };
}

function headersOf(route: Route) {
  const headers = [];
  if (route.conditional !== undefined) {
    const description = 'The revision that was read, such as `"7"`; `*` for whatever is there.';
    headers.push({
      name: "If-Match",
      in: "header",
      required: route.conditional === "required",
      description,
      schema: { type: "string" },
    });
  }
  if (route.method !== "GET") {
    headers.push({
      name: "Idempotency-Key",
      in: "header",
      required: false,
      schema: { type: "string", maxLength: 128 },
    });
  }
  return headers;
}

function parametersOf(schema: z.ZodObject | undefined, place: "path" | "query") {
  if (schema === undefined) return [];
  return Object.entries(schema.shape).map(([name, field]) => {
    const json = schemaOf(field as z.ZodType, "input");
    const isRequired = place === "path" || !(field as z.ZodType).safeParse(undefined).success;
    return { name, in: place, required: isRequired, schema: json };
  });
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: "draft-2020-12", io, unrepresentable: "any" });
  return json;
}
