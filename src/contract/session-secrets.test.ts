import { expect, test } from "vitest";
import { maskedPlaces, sessionSecrets } from "./session-secrets.ts";

const of = (env: Readonly<Record<string, string>>) => ({ template: { image: "nginx:1", env } });

test("values are secrets by the names of their variables", () => {
  const env = { DB_PASSWORD: "hunter-22", apiKey: "k-123456", PATH: "/usr/bin", GH_TOKEN: "k-123456" };
  expect(sessionSecrets(of(env))).toEqual({ values: ["hunter-22", "k-123456"], urls: [] });
  expect(sessionSecrets({ template: { command: ["/bin/true"] } })).toEqual({ values: [], urls: [] });
});

test("a mask is no secret, and its place is told", () => {
  const spec = of({ DB_PASSWORD: "***", PATH: "***" });
  expect(sessionSecrets(spec).values).toEqual([]);
  expect(maskedPlaces(spec)).toEqual(["spec.template.env.DB_PASSWORD"]);
});
