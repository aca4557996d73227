import { AppError } from "../../base/errors.ts";
import type { OperatorRole } from "../store/operator-tokens.ts";
import type { Caller, Route } from "./route.ts";

const RANK: Readonly<Record<OperatorRole, number>> = { router: 0, viewer: 1, operator: 2, admin: 3 };

/** Who authentication found: a caller, and for a box whether it is approved and free. */
export type Identity = Caller | (Extract<Caller, { kind: "box" }> & { readonly blocked: string | undefined });

/**
 * Pure. Throws `unauthorized` for who has not said who they are, `refused` for who has and may not.
 * A box may name itself only: `boxId` is the parameter `box` of the path.
 */
export function requireAccess(access: Route["access"], caller: Identity, boxId: string | undefined): void {
  if (access === "public") return;
  if (caller.kind === "anybody") {
    throw new AppError("unauthorized", "this needs a token: send it as Authorization: Bearer …");
  }
  if (access === "box" || access === "box-any-state" || (access === "worker" && caller.kind === "box")) {
    if (caller.kind !== "box") throw new AppError("refused", "only the box itself may do this, with its own key");
    if (boxId !== undefined && boxId !== caller.boxId) {
      throw new AppError("refused", `box ${caller.boxId} may act for itself only`, { field: "box" });
    }
    const blocked = "blocked" in caller ? caller.blocked : undefined;
    if (access !== "box-any-state" && blocked !== undefined) throw new AppError("refused", blocked);
    return;
  }
  if (caller.kind === "box") throw new AppError("refused", "the key of a box does not open this");
  // What routers tell is no business of people: their roles do not hold it.
  const role = access === "worker" ? "operator" : access;
  const isOpen =
    role === "router" ? caller.role === "router" || caller.role === "admin" : RANK[caller.role] >= RANK[role];
  if (!isOpen) {
    throw new AppError("refused", `this needs the role ${role}; this token has the role ${caller.role}`);
  }
}
