import { expect, test } from "vitest";
import type { SessionPlatformName, SessionRunSpec } from "../../../contract/session-spec.ts";
import { choosePlatform } from "./choose-platform.ts";

const ALL: readonly SessionPlatformName[] = ["docker", "podman", "process"];
const IMAGE: SessionRunSpec["template"] = { image: "nginx:1" };
const COMMAND: SessionRunSpec["template"] = { command: ["/bin/app"] };

interface Case {
  readonly what: string;
  readonly spec: Pick<SessionRunSpec, "platform" | "template">;
  readonly platforms?: readonly SessionPlatformName[];
  readonly ready?: readonly SessionPlatformName[];
  readonly held?: SessionPlatformName;
  readonly chosen: SessionPlatformName;
}

const CASES: readonly Case[] = [
  {
    what: "an image goes to the first engine that answers",
    spec: { template: IMAGE },
    ready: ["podman"],
    chosen: "podman",
  },
  { what: "where none answers it waits for the first", spec: { template: IMAGE }, ready: [], chosen: "docker" },
  { what: "a command alone is a process", spec: { template: COMMAND }, ready: ["docker"], chosen: "process" },
  {
    what: "where its files are it stays, though another answers and that one does not",
    spec: { template: IMAGE },
    ready: ["docker"],
    held: "podman",
    chosen: "podman",
  },
  {
    what: "what is held on a platform that it may not use any more counts for nothing",
    spec: { template: IMAGE },
    platforms: ["docker"],
    ready: ["docker"],
    held: "podman",
    chosen: "docker",
  },
  {
    what: "the one it names, whatever is held elsewhere",
    spec: { platform: "podman", template: IMAGE },
    ready: ["docker"],
    held: "docker",
    chosen: "podman",
  },
  {
    what: "an image with a command as a process, where it asks for that",
    spec: { platform: "process", template: { ...IMAGE, ...COMMAND } },
    chosen: "process",
  },
];

test.for(CASES)("$what", ({ spec, platforms = ALL, ready = ALL, held, chosen }) => {
  const isReady = (platform: SessionPlatformName) => ready.includes(platform);
  expect(choosePlatform(spec, { platforms, isReady, held })).toEqual({ platform: chosen });
});

test.for([
  [
    { platform: "kubernetes", template: IMAGE },
    "platform: given kubernetes; allowed on this box: docker, podman, process",
  ],
  [{ platform: "process", template: IMAGE }, "template.command: missing; allowed with the platform process: a program"],
  [{ platform: "docker", template: COMMAND }, "template.image: missing; allowed with the platform docker: an image"],
] as const)("what does not fit is refused by name: %j", ([spec, message]) => {
  const choice = choosePlatform(spec, { platforms: ALL, isReady: () => true, held: undefined });
  expect(choice).toEqual({ refusal: expect.objectContaining({ message }) });
});

test("a box without any engine refuses images and says what it has", () => {
  const choice = choosePlatform({ template: IMAGE }, { platforms: ["process"], isReady: () => true, held: undefined });
  const message = "template: nothing here runs an image; allowed on this box: process";
  expect(choice).toEqual({ refusal: { rule: "sessions.platforms", message } });
});
