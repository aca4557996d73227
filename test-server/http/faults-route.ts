import type { FastifyInstance } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import { applyFault } from "../faults/apply-fault.ts";
import { FAULTS, findFault } from "../faults/fault-catalog.ts";
import type { Parts } from "../parts.ts";

/** `POST /faults/:name` with its arguments as JSON; `GET /faults`; `DELETE /faults` and `DELETE /faults/:name` end lasting ones. */
export function registerFaultsRoute(app: FastifyInstance, parts: Parts): void {
  app.get("/faults", () => ({ available: FAULTS, active: parts.board.active() }));
  app.post<{ Params: { name: string } }>("/faults/:name", (request) => ({
    ...applyFault(request.params.name, request.body, parts),
    active: parts.board.active(),
  }));
  app.delete("/faults", () => {
    parts.board.clear();
    parts.log.write("fault", "All faults were cleared");
    return { active: parts.board.active() };
  });
  app.delete<{ Params: { name: string } }>("/faults/:name", (request) => {
    const kind = findFault(request.params.name);
    if (kind === undefined)
      throw new AppError("not-found", `fault: "${request.params.name}" is unknown`, { field: "fault" });
    parts.board.clear(kind.name);
    parts.log.write("fault", `${kind.title} was cleared`);
    return { active: parts.board.active() };
  });
}
