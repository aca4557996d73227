import { AppError } from "../src/base/errors.ts";

export interface TestServerOptions {
  /** Address to bind to. Anything but loopback needs `listenAnywhere`. */
  readonly host: string;
  /** HTTP: page, SSE and API. 0: any free port. */
  readonly port: number;
  /** RTMP. 0: any free port; `undefined`: no RTMP server. */
  readonly rtmpPort: number | undefined;
  /** A taken port is an error; otherwise the next free one is used. */
  readonly strictPorts: boolean;
  readonly listenAnywhere: boolean;
  /** Period of the SSE comment that keeps connections proved. */
  readonly beatMs: number;
  /** Changes kept for `Last-Event-ID`; an older cursor gets a snapshot. */
  readonly keepChanges: number;
}

export const DEFAULT_OPTIONS: TestServerOptions = {
  host: "127.0.0.1",
  port: 3000,
  rtmpPort: 1935,
  strictPorts: false,
  listenAnywhere: false,
  beatMs: 15_000,
  keepChanges: 1000,
};

/** Fills in defaults. Throws `refused` for a host that others can reach, unless that was asked for. */
export function resolveOptions(given: Partial<TestServerOptions>): TestServerOptions {
  const options = { ...DEFAULT_OPTIONS, ...given };
  if (!options.listenAnywhere && !isLoopback(options.host)) {
    throw new AppError(
      "refused",
      `host: "${options.host}" is not loopback, and whoever reaches this server controls the streams of every agent on it; ` +
        "bind to 127.0.0.1, ::1 or localhost, or add --listen-anywhere",
      { field: "host" },
    );
  }
  if (!(options.beatMs >= 50)) {
    throw new AppError("invalid", `beatMs: ${options.beatMs} given, at least 50 allowed`, { field: "beatMs" });
  }
  return options;
}

/** True for addresses and names that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(?:\.\d{1,3}){3}$/.test(bare);
}
