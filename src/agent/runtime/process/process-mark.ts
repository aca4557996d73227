import { IDENTIFIER_PATTERN } from "../../../contract/identifier-pattern.ts";
import type { ProcessMark } from "../run-handle.ts";

/** The variable by which a sweep recognises a child of Sluice. */
export const MARK_VARIABLE = "SLUICE_WORKLOAD";
const SPEC_VARIABLE = "SLUICE_SPEC";
const STATE_DIR_VARIABLE = "SLUICE_STATE_DIR";
const LANE_VARIABLE = "SLUICE_LANE";

const NONCE_PATTERN = /^[0-9a-f]{32}$/;
const KIND_PATTERN = /^[a-z][a-z0-9-]{0,30}$/;
const HASH_PATTERN = /^[A-Za-z0-9._:+=-]{1,128}$/;

/** `stateDir`: the real path of the state directory, which tells two agents on one machine apart. */
export function toMarkEnvironment(mark: ProcessMark, stateDir: string): Record<string, string> {
  return {
    [MARK_VARIABLE]: `${mark.boxId}/${mark.workloadId}/${mark.generation}/${mark.nonce}`,
    [SPEC_VARIABLE]: `${mark.kind}/${mark.specHash}`,
    [STATE_DIR_VARIABLE]: stateDir,
    ...(mark.lane === undefined || mark.lane === 0 ? {} : { [LANE_VARIABLE]: String(mark.lane) }),
  };
}

/** `undefined` for a process without a whole and well-formed mark: not ours. */
export function parseMark(
  environment: ReadonlyMap<string, string>,
): { readonly mark: ProcessMark; readonly stateDir: string } | undefined {
  const stateDir = environment.get(STATE_DIR_VARIABLE);
  const workload = environment.get(MARK_VARIABLE)?.split("/");
  const spec = environment.get(SPEC_VARIABLE)?.split("/");
  if (stateDir === undefined || workload?.length !== 4 || spec?.length !== 2) return undefined;
  const [boxId = "", workloadId = "", generationText = "", nonce = ""] = workload;
  const [kind = "", specHash = ""] = spec;
  const generation = Number(generationText);
  const isWellFormed =
    IDENTIFIER_PATTERN.test(boxId) &&
    IDENTIFIER_PATTERN.test(workloadId) &&
    /^\d+$/.test(generationText) &&
    Number.isSafeInteger(generation) &&
    NONCE_PATTERN.test(nonce) &&
    KIND_PATTERN.test(kind) &&
    HASH_PATTERN.test(specHash);
  if (!isWellFormed) return undefined;
  const lane = environment.get(LANE_VARIABLE) === "1" ? ({ lane: 1 } as const) : {};
  return { mark: { boxId, workloadId, kind, generation, nonce, specHash, ...lane }, stateDir };
}

/** The same launch. Kind and specification follow from it. */
export function isSameLaunch(left: ProcessMark, right: ProcessMark): boolean {
  return (
    left.boxId === right.boxId &&
    left.workloadId === right.workloadId &&
    left.generation === right.generation &&
    left.nonce === right.nonce
  );
}
