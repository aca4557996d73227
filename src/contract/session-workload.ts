import type { SessionPower, SessionSpec } from "./session-spec.ts";
import type { SessionWorkload } from "./workload.ts";

/** What a box is told of a session that somebody wrote whole: limits and power lie beside its spec. */
export function sessionWorkload(
  session: SessionSpec,
  { name, power }: { readonly name?: string | undefined; readonly power?: SessionPower | undefined } = {},
): SessionWorkload {
  const { id, resources: asked, ...spec } = session;
  const { gpus, ...resources } = asked ?? {};
  return {
    kind: "session",
    id,
    ...(name === undefined ? {} : { name }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...(power === undefined ? {} : { power }),
    spec: { ...spec, ...(gpus === undefined ? {} : { gpus }) },
  };
}
