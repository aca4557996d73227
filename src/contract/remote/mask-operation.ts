import { describeOperation, type RemoteOperation } from "./operation.ts";

const SECRET_NAME =
  /(?:^|[-_.])(?:pass(?:word|wd|phrase)?|token|secret|(?:api|access|private|secret|stream)[-_]?key|credentials?|authorization|pwd)$/i;

/** The operation as it may be written down: what looks like a secret among its arguments is masked. Pure. */
export function describeMasked(operation: RemoteOperation): string {
  if (operation.kind !== "exec" && operation.kind !== "rsync") return describeOperation(operation);
  return describeOperation({ ...operation, argv: maskArguments(operation.argv) });
}

/** Values of `--password x`, `--token=x`, `API_KEY=x`, `Authorization: x`, and of addresses with a password. */
export function maskArguments(argv: readonly string[]): string[] {
  let isNextSecret = false;
  return argv.map((argument) => {
    const wasSecret = isNextSecret;
    isNextSecret = false;
    if (wasSecret && !argument.startsWith("-")) return "***";
    const equals = argument.indexOf("=");
    const name = argument.slice(0, equals < 0 ? undefined : equals).replace(/^-+/, "");
    const isSecret = SECRET_NAME.test(name) && (argument.startsWith("-") || equals > 0);
    if (isSecret && equals > 0) return `${argument.slice(0, equals)}=***`;
    isNextSecret = isSecret;
    return argument
      .replace(/\b(authorization|cookie|x-[a-z-]*(?:token|key)):\s*\S.*/i, "$1: ***")
      .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]+@/gi, "$1***@");
  });
}
