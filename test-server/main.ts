#!/usr/bin/env node
import { parseArgs } from "node:util";
import { messageOf } from "../src/base/errors.ts";
import { untilAborted } from "../src/base/service.ts";
import { ERROR_POLICY, toAppError } from "../src/contract/error-code.ts";
import { DEFAULT_OPTIONS, type TestServerOptions } from "./options.ts";
import { createTestServer } from "./server.ts";

const HELP = `An SSE server for trying and testing an agent, with a page, an RTMP receiver and every fault a network can have.

  scripts/test-server [options]

  --port N             page, SSE and API (${DEFAULT_OPTIONS.port}; 0: any free port)
  --rtmp-port N        RTMP receiver (${DEFAULT_OPTIONS.rtmpPort}; 0: any free port)
  --no-rtmp            no RTMP receiver
  --strict-ports       fail when a port is taken; otherwise the next free one is used
  --host ADDRESS       address to bind to (${DEFAULT_OPTIONS.host})
  --listen-anywhere    allow an address that other machines reach: they control what agents here run
  --beat SECONDS       period of the comment that proves a connection (${DEFAULT_OPTIONS.beatMs / 1000})
  --help               this text

Point an agent at it: SSE_ENDPOINT=http://127.0.0.1:${DEFAULT_OPTIONS.port}/events scripts/sluice agent
`;

/** Parses the command line. Throws on what is not in `HELP`. */
function optionsFrom(args: readonly string[]): Partial<TestServerOptions> | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: "string" },
      "rtmp-port": { type: "string" },
      "no-rtmp": { type: "boolean" },
      "strict-ports": { type: "boolean" },
      host: { type: "string" },
      "listen-anywhere": { type: "boolean" },
      beat: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) return "help";
  return {
    ...(values.port === undefined ? {} : { port: portFrom("--port", values.port) }),
    ...(values["rtmp-port"] === undefined ? {} : { rtmpPort: portFrom("--rtmp-port", values["rtmp-port"]) }),
    ...(values["no-rtmp"] === true ? { rtmpPort: undefined } : {}),
    ...(values["strict-ports"] === true ? { strictPorts: true } : {}),
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values["listen-anywhere"] === true ? { listenAnywhere: true } : {}),
    ...(values.beat === undefined ? {} : { beatMs: Number(values.beat) * 1000 }),
  };
}

function portFrom(flag: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new RangeError(`${flag}: "${text}" given, 0 to 65535 allowed`);
  return port;
}

async function main(args: readonly string[]): Promise<number> {
  let options: Partial<TestServerOptions> | "help";
  try {
    options = optionsFrom(args);
  } catch (error) {
    process.stderr.write(`test-server: ${messageOf(error)}\nTry --help.\n`);
    return ERROR_POLICY.invalid.exit;
  }
  if (options === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  try {
    await using server = await createTestServer(options);
    const wished = options.port ?? DEFAULT_OPTIONS.port;
    if (wished !== 0 && server.port !== wished) process.stdout.write(`Port ${wished} is taken, using ${server.port}\n`);
    const wishedRtmp = "rtmpPort" in options ? options.rtmpPort : DEFAULT_OPTIONS.rtmpPort;
    if (server.rtmp !== undefined && wishedRtmp !== 0 && server.rtmp.port !== wishedRtmp) {
      process.stdout.write(`Port ${wishedRtmp} is taken, using ${server.rtmp.port} for RTMP\n`);
    }
    process.stdout.write(`Page    ${server.origin}/\nEvents  ${server.eventsUrl}\nReports ${server.reportUrl}\n`);
    if (server.rtmp !== undefined) process.stdout.write(`RTMP    ${server.rtmp.url}/<key>\n`);
    await untilAborted(stop.signal);
    return 0;
  } catch (error) {
    const appError = toAppError(error);
    process.stderr.write(`test-server: ${messageOf(appError)}\n`);
    return ERROR_POLICY[appError.code].exit;
  }
}

// NMS keeps a timer of 5 s for each publisher it saw: everything is closed by now, and nothing is waited for.
process.exit(await main(process.argv.slice(2)));
