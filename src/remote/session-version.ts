import { AppError } from "../base/errors.ts";

/** Of what two ends say to each other (`frame.proto`), as `hello` tells it. */
export const SESSION_VERSION = 2;

export function wrongVersion(given: number): AppError {
  return new AppError(
    "version",
    `the other end speaks version ${given} of sessions; allowed: ${SESSION_VERSION}; upgrade the older of the two`,
  );
}
