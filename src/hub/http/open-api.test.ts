import { expect, test } from "vitest";
import { z } from "zod";
import { openApiOf } from "./open-api.ts";
import { route } from "./route.ts";

test("a route is described by the schemas that judge its requests", () => {
  const routes = [
    route({
      method: "POST",
      path: "/v1/things",
      access: "operator",
      summary: "Makes a thing",
      body: z.strictObject({ name: z.string() }),
      handle: async () => undefined,
    }),
  ];
  const document = openApiOf(routes, { title: "Sluice hub", version: "1.2.3" });
  expect(document.info.version).toBe("1.2.3");
  expect(document.paths["/v1/things"]).toMatchObject({
    post: {
      summary: "Makes a thing",
      security: [{ operator: [] }],
      requestBody: { content: { "application/json": { schema: { properties: { name: { type: "string" } } } } } },
    },
  });
});
