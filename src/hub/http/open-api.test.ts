import { expect, test } from "vitest";
import { z } from "zod";
import { openApiOf } from "./open-api.ts";
import { route } from "./route.ts";

test("a hub that starts describes nothing: the schemas are read when somebody asks for the page, and once", () => {
  let reads = 0;
  const routes = [
    {
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
    },
  ];
  const document = openApiOf(routes, { title: "Sluice hub", version: "1.2.3" });
  expect(document.info.version).toBe("1.2.3");
  expect(reads).toBe(0);
  expect(JSON.parse(JSON.stringify(document)).paths["/v1/things"].post.requestBody.content).toHaveProperty(
    ["application/json", "schema", "properties", "name"],
    { type: "string" },
  );
  const before = reads;
  expect(document.paths).toHaveProperty(["/v1/things", "post"]);
  expect(reads).toBe(before);
});
