import type { FastifyInstance, FastifyReply } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import { reportSchema } from "../../src/contract/report.ts";
import type { Parts } from "../parts.ts";
import { parseBody } from "./parse-body.ts";

/** `POST /report` and `POST /v1/boxes/:box/report` take what a box says of itself; `GET /reports` shows it. */
export function registerReportsRoute(app: FastifyInstance, parts: Parts): void {
  const accept = (body: unknown, reply: FastifyReply, box: string | undefined) => {
    const refusal = parts.board.reportRefusal();
    if (refusal !== undefined) {
      parts.log.write("report", `A report was refused with ${refusal}`);
      reply.code(refusal).send({ error: { code: "unavailable", message: `asked to refuse reports with ${refusal}` } });
      return;
    }
    const report = parseBody(reportSchema, body);
    if (box !== undefined && box !== report.boxId) {
      throw new AppError("conflict", `boxId: "${report.boxId}" reported under the address of "${box}"`, {
        field: "boxId",
      });
    }
    parts.reports.add(report);
    reply.send({ accepted: report.sequence });
  };
  app.post("/report", (request, reply) => accept(request.body, reply, undefined));
  app.post<{ Params: { box: string } }>("/v1/boxes/:box/report", (request, reply) =>
    accept(request.body, reply, request.params.box),
  );
  app.get("/reports", () => ({
    count: parts.reports.count(),
    latest: parts.reports.latest(),
    last: parts.reports.last(),
  }));
}
