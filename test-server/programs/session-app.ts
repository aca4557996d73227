import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/**
 * An application for tests of sessions. It listens where `PORT` says (nowhere without one), and does what it is asked over HTTP:
 * `/write?text=`, `/read`, `/hold?mb=`, `/exit?code=`, `/env?name=`. `/open` answers and keeps the connection. `DO` says what it does
 * by itself: `busy` uses the processor, `exit 3` ends with that status, `hold 200` holds so many MiB.
 */
const held: Buffer[] = [];

function hold(mebibytes: number): void {
  held.push(Buffer.alloc(mebibytes * 2 ** 20, 1));
}

async function work(order: string): Promise<void> {
  const [what, amount = "0"] = order.split(" ");
  if (what === "exit") process.exit(Number(amount));
  if (what === "hold") hold(Number(amount));
  while (what === "busy") {
    const untilMs = performance.now() + 50;
    while (performance.now() < untilMs) Math.sqrt(untilMs);
    await delay(10);
  }
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://application");
  const of = (name: string) => searchParams.get(name) ?? "";
  switch (pathname) {
    case "/write":
      appendFileSync("notes.txt", of("text"));
      response.end("written");
      return;
    case "/read":
      response.end(readFileSync("notes.txt", "utf8"));
      return;
    case "/hold":
      hold(Number(of("mb")));
      response.end("held");
      return;
    case "/env":
      response.end(process.env[of("name")] ?? "");
      return;
    case "/open":
      response.write("open");
      return;
    case "/exit":
      process.exit(Number(of("code")));
      return;
    default:
      response.end("here");
  }
});

const { PORT, ADDRESS, DO = "" } = process.env;
if (PORT !== undefined) server.listen(Number(PORT), ADDRESS);
process.on("SIGTERM", () => process.exit(0));
console.log(`application started, port ${PORT ?? "none"}`);
console.error("a word on the other output");
void work(DO);
// Without a port nothing else would keep it.
setInterval(() => undefined, 60_000);
