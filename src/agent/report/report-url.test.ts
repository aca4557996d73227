import { describe, expect, it } from "vitest";
import { reportUrlFor } from "./report-url.ts";

describe("where reports go", () => {
  it.each([
    ["https://hub.test:8443/v1/boxes/north-1/events", "https://hub.test:8443/v1/boxes/north-1/report"],
    ["http://hub.test/prefix/v1/boxes/a%20b/events/?x=1#y", "http://hub.test/prefix/v1/boxes/a%20b/report"],
    ["http://u:p@hub.test/v1/boxes/a/events", "http://u:p@hub.test/v1/boxes/a/report"],
  ])("is beside a hub's events: %s", (endpoint, expected) => {
    expect(reportUrlFor(endpoint)).toBe(expected);
  });

  it.each([
    "http://h/events",
    "http://h/v1/boxes/events",
    "http://h/v1/boxes/a/b/events",
    "http://h/v1/boxes/a/eventsx",
    "no url",
  ])("is nowhere for any other server: %s", (endpoint) => {
    expect(reportUrlFor(endpoint)).toBeUndefined();
  });
});
