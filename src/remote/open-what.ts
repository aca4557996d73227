import { create } from "@bufbuild/protobuf";
import { AppError } from "../base/errors.ts";
import {
  AssociateSchema,
  AttachSchema,
  DialSchema,
  ExecSchema,
  type Open,
  OpenSchema,
  PtySchema,
} from "../contract/proto/sluice/router/v1/frame_pb.js";

/** What a channel is for. */
export type OpenWhat =
  | ExecWhat
  /** A TCP connection from the box. */
  | { readonly kind: "dial"; readonly host: string; readonly port: number }
  /** UDP from the box. */
  | { readonly kind: "associate"; readonly host: string; readonly port: number }
  /** To the command of a detached session, from the oldest output that the box still has. */
  | { readonly kind: "attach" };

export interface ExecWhat {
  readonly kind: "exec";
  /** Empty: the user's login shell. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly user: string | undefined;
  readonly pty: { readonly term: string; readonly cols: number; readonly rows: number } | undefined;
  /** False: the command reads end of file at once. */
  readonly stdin: boolean;
}

export function toOpen(what: OpenWhat, initialCredit: number): Open {
  return create(OpenSchema, { initialCredit: BigInt(initialCredit), what: toWire(what) });
}

function toWire(what: OpenWhat): Open["what"] {
  switch (what.kind) {
    case "exec": {
      const { argv, env, cwd, user, pty, stdin } = what;
      const exec = create(ExecSchema, { argv: [...argv], env: { ...env }, cwd: cwd ?? "", user: user ?? "", stdin });
      if (pty !== undefined) exec.pty = create(PtySchema, pty);
      return { case: "exec", value: exec };
    }
    case "dial":
      return { case: "dial", value: create(DialSchema, { host: what.host, port: what.port }) };
    case "associate":
      return { case: "associate", value: create(AssociateSchema, { host: what.host, port: what.port }) };
    case "attach":
      return { case: "attach", value: create(AttachSchema) };
  }
}

/** Of a name in DNS (RFC 1035). What is refused is written down, with its name. */
const MAX_HOST_CHARACTERS = 253;

/** Throws `unsupported`: the operator's program knows something that this one does not; `invalid`. */
export function fromOpen({ what }: Open): OpenWhat {
  switch (what.case) {
    case "exec": {
      const { argv, env, cwd, user, pty, stdin } = what.value;
      return {
        kind: "exec",
        argv,
        env,
        cwd: cwd === "" ? undefined : cwd,
        user: user === "" ? undefined : user,
        pty: pty === undefined ? undefined : { term: pty.term, cols: pty.cols, rows: pty.rows },
        stdin,
      };
    }
    case "dial":
      return { kind: "dial", ...placeOf(what.value) };
    case "associate":
      return { kind: "associate", ...placeOf(what.value) };
    case "attach":
      return { kind: "attach" };
    default:
      throw new AppError(
        "unsupported",
        "the box does not know what this channel is for; it knows exec, dial, associate and attach",
      );
  }
}

function placeOf({ host, port }: { readonly host: string; readonly port: number }) {
  if (host.length > MAX_HOST_CHARACTERS) {
    throw new AppError("invalid", `host: ${host.length} characters given; allowed: at most ${MAX_HOST_CHARACTERS}`);
  }
  return { host, port };
}
