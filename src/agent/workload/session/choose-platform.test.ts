import { expect, test } from "vitest";
import { choosePlatform, type PlatformFacts } from "./choose-platform.ts";

const IMAGE = { template: { image: "nginx:1.27" } };
const COMMAND = { template: { command: ["/usr/bin/player"] } };
const facts: PlatformFacts = { platforms: ["docker", "podman", "process"], isReady: () => true, held: undefined };

test("where its files are it stays, else the first that suits and answers takes it", () => {
  expect(choosePlatform(IMAGE, facts)).toEqual({ platform: "docker" });
  expect(choosePlatform(COMMAND, facts)).toEqual({ platform: "process" });
  expect(choosePlatform(IMAGE, { ...facts, held: "podman" })).toEqual({ platform: "podman" });
  expect(choosePlatform(IMAGE, { ...facts, isReady: (one) => one === "podman" })).toEqual({ platform: "podman" });
  expect(choosePlatform(IMAGE, { ...facts, isReady: () => false })).toEqual({ platform: "docker" });
});

test("a platform that this box does not have, or that does not suit, is refused with what is allowed", () => {
  expect(choosePlatform({ ...IMAGE, platform: "kubernetes" }, facts)).toEqual({
    refusal: {
      rule: "sessions.platforms",
      message: "platform: given kubernetes; allowed on this box: docker, podman, process",
    },
  });
  expect(choosePlatform({ ...IMAGE, platform: "process" }, facts)).toMatchObject({
    refusal: { rule: "spec", message: expect.stringContaining("template.command: missing") },
  });
  expect(choosePlatform(IMAGE, { ...facts, platforms: ["process"] })).toMatchObject({
    refusal: { rule: "sessions.platforms", message: expect.stringContaining("allowed on this box: process") },
  });
});
