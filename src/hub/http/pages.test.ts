import fastify from "fastify";
import { expect, test } from "vitest";
import { z } from "zod";
import { registerPages } from "./pages.ts";
import { route } from "./route.ts";

test("a hub that starts describes nothing: the schemas are read when somebody asks for the page, and once", async () => {
  let reads = 0;
  const things = {
    ...route({
      method: "POST",
      path: "/v1/things",
      access: "operator",
      summary: "Makes a thing",
      handle: async () => undefined,
    }),
    get body() {
      reads++;
      return z.strictObject({ name: z.string() });
    },
  };
  const app = fastify();
  await registerPages(app, [things], { directories: [], version: "1.2.3" });
  await app.ready();
  expect(reads).toBe(0);
  const document = (await app.inject("/docs/json")).json();
  expect(document.info.version).toBe("1.2.3");
  expect(document.paths["/v1/things"].post.requestBody.content).toHaveProperty(
    ["application/json", "schema", "properties", "name"],
    { type: "string" },
  );
  const before = reads;
  expect((await app.inject("/docs/yaml")).body).toContain("/v1/things");
  expect(reads).toBe(before);
  await app.close();
});
