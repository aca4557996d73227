import { SESSION_CONTAINER } from "../../../translate/kubernetes-manifests.ts";
import type { PodObject } from "../cluster-api/cluster-answers.ts";

/** What a pod's status says of the session's own container; clusters may put others beside it. */
export function sessionContainer({ status }: PodObject) {
  return status?.containerStatuses?.find(({ name }) => name === SESSION_CONTAINER);
}

export type SessionContainer = NonNullable<ReturnType<typeof sessionContainer>>;
