import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

/** Tokens that are listed: more than a pipe holds, and more than the buffers of a socket hold. */
const FORMS = [
  { flags: ["--json"], counts: [600, 2000] },
  { flags: [], counts: [600] },
] as const;
const LATE_MS = 1500;
const LIMIT_MS = 120_000;

/** It has so many tokens, all on one page. */
let tokens = 0;
let server: Server;
beforeAll(async () => {
  server = createServer((_request, response) => {
    const items = Array.from({ length: tokens }, (_none, at) => ({
      id: `t-${at}`,
      name: `token ${at} ${"of somebody with a long name ".repeat(3)}`,
      role: "viewer",
      createdAt: "2026-01-15T10:30:45.000Z",
    }));
    response.setHeader("content-type", "application/json").end(JSON.stringify({ items }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => void server.close());

function environment() {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  return { PATH: process.env["PATH"], SLUICE_HUB: `http://127.0.0.1:${port}`, SLUICE_HUB_TOKEN: "any" };
}

const LIST = ["--no-warnings", MAIN_PROGRAM, "token", "ls"] as const;

/** Reads what it says after so long. */
async function run(file: string, args: readonly string[], waitMs: number) {
  const child = spawn(file, [...args], { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close");
  const errors = buffer(child.stderr);
  // Once it has ended, what nobody listens for is thrown away by Node.
  const parts: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => parts.push(part)).pause();
  await systemClock.delay(waitMs);
  child.stdout.resume();
  const [err, [code]] = await Promise.all([errors, closed]);
  return { out: Buffer.concat(parts), code, err: err.toString() };
}

for (const { flags, counts } of FORMS) {
  test(
    `a command that prints much${flags.length === 0 ? "" : " as JSON"} ends when its reader has all of it, however late that begins`,
    async () => {
      for (const count of counts) {
        tokens = count;
        const prompt = await run(process.execPath, [...LIST, ...flags], 0);
        expect({ code: prompt.code, err: prompt.err }).toEqual({ code: 0, err: "" });
        expect(prompt.out.length).toBeGreaterThan(100 * count);
        const late = await run(process.execPath, [...LIST, ...flags], LATE_MS);
        expect({ code: late.code, err: late.err, bytes: late.out.length }).toEqual({
          code: 0,
          err: "",
          bytes: prompt.out.length,
        });
        expect(late.out.equals(prompt.out)).toBe(true);
        // A pipe, as a shell makes it.
        const piped = '"$@" | { sleep 1.5; cat; }';
        const shell = await run("/bin/sh", ["-c", piped, "sh", process.execPath, ...LIST, ...flags], 0);
        expect(shell.out.equals(prompt.out)).toBe(true);
      }
    },
    LIMIT_MS,
  );
}
