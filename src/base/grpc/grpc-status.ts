/** Names of the gRPC status codes, by number. */
export const GRPC_STATUS_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;
export type GrpcStatusName = (typeof GRPC_STATUS_NAMES)[number];

/** Headers hold 8 KiB or so in all: a message is cut before it costs the call. */
const MAX_MESSAGE_CHARACTERS = 1024;

/** A text as the header `grpc-message` carries it: printable ASCII without `%`, the rest percent-encoded UTF-8. */
export function encodeGrpcMessage(text: string): string {
  return text
    .slice(0, MAX_MESSAGE_CHARACTERS)
    .toWellFormed()
    .replace(/[^\x20-\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));
}

/** What cannot be decoded stays as it is. */
export function decodeGrpcMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
