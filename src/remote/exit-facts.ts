import { create } from "@bufbuild/protobuf";
import { type Exit, ExitSchema, KilledBy } from "../contract/proto/sluice/router/v1/frame_pb.js";

/** How a command ended, and what left it. */
export interface ExitFacts {
  readonly how: { readonly kind: "code"; readonly code: number } | { readonly kind: "signal"; readonly signal: string };
  readonly coreDumped: boolean;
  /** Absent: it ended by itself. */
  readonly killedBy: KilledByName | undefined;
  readonly out: OutputDigest;
  readonly err: OutputDigest;
  /** Something that it started still holds its output; what comes later is not waited for. */
  readonly outputOpenAfterExit: boolean;
  readonly wallMs: number;
}

export interface OutputDigest {
  readonly total: number;
  readonly sha256: Uint8Array;
}

const KILLERS = {
  operator: KilledBy.OPERATOR,
  disconnect: KilledBy.DISCONNECT,
  idle: KilledBy.IDLE,
  "max-age": KilledBy.MAX_AGE,
  terminated: KilledBy.TERMINATED,
} as const;
export type KilledByName = keyof typeof KILLERS;

export function toExit({ how, coreDumped, killedBy, out, err, outputOpenAfterExit, wallMs }: ExitFacts): Exit {
  return create(ExitSchema, {
    how: how.kind === "code" ? { case: "code", value: how.code } : { case: "signal", value: how.signal },
    coreDumped,
    killedBy: killedBy === undefined ? KilledBy.UNSPECIFIED : KILLERS[killedBy],
    outTotal: BigInt(out.total),
    outSha256: out.sha256,
    errTotal: BigInt(err.total),
    errSha256: err.sha256,
    outputOpenAfterExit,
    wallMs: BigInt(Math.round(wallMs)),
  });
}

export function fromExit(exit: Exit): ExitFacts {
  const { how } = exit;
  const killer = Object.entries(KILLERS).find(([, value]) => value === exit.killedBy)?.[0];
  return {
    how: how.case === "signal" ? { kind: "signal", signal: how.value } : { kind: "code", code: how.value ?? 0 },
    coreDumped: exit.coreDumped,
    killedBy: isKiller(killer) ? killer : undefined,
    out: { total: Number(exit.outTotal), sha256: exit.outSha256 },
    err: { total: Number(exit.errTotal), sha256: exit.errSha256 },
    outputOpenAfterExit: exit.outputOpenAfterExit,
    wallMs: Number(exit.wallMs),
  };
}

function isKiller(name: string | undefined): name is KilledByName {
  return name !== undefined && Object.hasOwn(KILLERS, name);
}
