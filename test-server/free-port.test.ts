import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { freePort, freePortRange, freePorts } from "./free-port.ts";

const run = promisify(execFile);

it("no port is given out twice, to this process or another one while this lives, nor where somebody listens", async () => {
  const first = await freePortRange(8);
  const taken = createServer().listen(first + 2, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const module = join(import.meta.dirname, "free-port.ts");
  const program = (count: number, bounds: object) => `
    const { freePortRange } = await import(${JSON.stringify(module)});
    console.log(await freePortRange(${count}, ${JSON.stringify(bounds)}).catch(({ code }) => code));
  `;
  const inChild = async (count: number, bounds: object) => {
    const node = ["--no-warnings", "--input-type=module", "-e", program(count, bounds)];
    return (await run(process.execPath, node)).stdout.trim();
  };
  expect(await inChild(1, { first, last: first + 7 })).toBe("unavailable");
  // A child that has ended has none any more.
  const after = { first: first + 8, last: first + 8 };
  const told = await inChild(1, after);
  if (told !== "unavailable") expect(await freePortRange(1, after)).toBe(first + 8);
  taken.close();
});

it("ports given at a time are all different, and none that the system gives to connections", async () => {
  const ports = (await Promise.all([freePorts(40), freePorts(40), freePort()])).flat();
  expect(new Set(ports).size).toBe(81);
  const [low = 0, high = 0] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  if (low > 11_000 || high < 64_000) expect(ports.filter((port) => port >= low && port <= high)).toEqual([]);
});
