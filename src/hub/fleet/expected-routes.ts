import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import {
  expectedChangeSchema,
  expectedDiffSchema,
  expectedEntryViewSchema,
  expectedViewSchema,
  MAX_WORKLOADS_A_BOX,
  workloadPathSchema,
  workloadPutSchema,
  workloadSetPutSchema,
} from "../../contract/fleet/expected-view.ts";
import { flagSchema } from "../../contract/fleet/page.ts";
import { maskStatus } from "../../contract/mask-status.ts";
import { maskWorkload, unmaskWorkload } from "../../contract/mask-workload.ts";
import type { Workload } from "../../contract/workload.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { decideReplacement, type ExpectedChange, type ExpectedEntry, type ExpectedSet } from "../store/expected-set.ts";
import type { ChangeAnswer } from "../store/expected-write.ts";
import { notFound } from "../store/store-error.ts";
import { statusesOf } from "./box-reader.ts";
import { writeOf } from "./write-of.ts";

const takeOverQuery = z.object({
  takeOver: flagSchema.optional().describe("Also touch what a rollout put there, and make it one's own."),
});
const setQuery = takeOverQuery.extend({
  dryRun: flagSchema.optional().describe("Say what would change, and change nothing."),
});
const MAX_SET_BYTES = 8 * 1024 * 1024;
const ATTEMPTS = 8;

/** What a box should run. People change what people put there; what a rollout placed belongs to it. */
export function createExpectedRoutes({ store, clock }: HubContext): readonly Route[] {
  const writing = (call: Call, boxId: string, what: { action: string; workload?: string; text: string }) =>
    writeOf(call, clock, {
      action: what.action,
      subject: what.workload === undefined ? `box/${boxId}` : `box/${boxId}/${what.workload}`,
      event: {
        kind: "expected.changed",
        boxId,
        workloadId: what.workload,
        text: what.text,
        // Who loses a race is to know whom to talk to.
        ...(call.caller.kind === "operator" ? { data: { by: call.caller.name } } : {}),
      },
    });

  /** Decides from the set as it is and writes only if it still is: with no condition of the caller's own, again and again. */
  const edit = async (
    call: Call,
    boxId: string,
    how: { readonly decide: (set: ExpectedSet) => ExpectedChange; readonly write: ReturnType<typeof writing> },
  ): Promise<ChangeAnswer> => {
    for (let attempt = 1; ; attempt++) {
      const set = await store.expected.get(boxId);
      const expectedRevision = call.expectedRevision ?? set.revision;
      try {
        return await store.expected.change(boxId, how.decide(set), { ...how.write, expectedRevision });
      } catch (thrown) {
        const isRace = thrown instanceof AppError && thrown.code === "conflict" && thrown.currentRevision !== undefined;
        if (!isRace || call.expectedRevision !== undefined || attempt === ATTEMPTS) throw thrown;
      }
    }
  };

  const setDesired = (desired: ExpectedEntry["desired"], verb: string, summary: string): Route =>
    route({
      method: "POST",
      path: `/v1/boxes/{box}/workloads/{id}/${verb}`,
      access: "operator",
      summary,
      conditional: "optional",
      params: workloadPathSchema,
      answer: expectedChangeSchema,
      handle: (call) => {
        const { box, id } = call.params;
        return edit(call, box, {
          decide: (set) => {
            const entry = entryOf(set, id);
            if (entry.workload.kind === "session") {
              throw new AppError("conflict", `workload ${id} is a session; allowed: /v1/sessions/${id}/${verb}`);
            }
            return { put: [{ ...entry, desired }], owner: entry.owner };
          },
          write: writing(call, box, { action: `workload.${verb}`, workload: id, text: `${id} on ${box}: ${verb}` }),
        });
      },
    });

  return [
    route({
      method: "GET",
      path: "/v1/boxes/{box}/workloads",
      access: "viewer",
      summary: "What the box should run, and what it last said of it",
      params: boxPathSchema,
      answer: expectedViewSchema,
      handle: async ({ params }) => {
        const [set, report] = await Promise.all([store.expected.get(params.box), store.reports.get(params.box)]);
        const statuses = statusesOf(report);
        const { epoch, revision } = set;
        return { epoch, revision, items: set.entries.map((entry) => entryView(entry, statuses)) };
      },
    }),
    route({
      method: "GET",
      path: "/v1/boxes/{box}/workloads/{id}",
      access: "viewer",
      summary: "One workload of a box",
      params: workloadPathSchema,
      answer: expectedEntryViewSchema.extend({ revision: z.int() }),
      handle: async ({ params }) => {
        const [set, report] = await Promise.all([store.expected.get(params.box), store.reports.get(params.box)]);
        return { ...entryView(entryOf(set, params.id), statusesOf(report)), revision: set.revision };
      },
    }),
    route({
      method: "PUT",
      path: "/v1/boxes/{box}/workloads/{id}",
      access: "operator",
      summary: "Have the box run this workload, or run it in this form",
      conditional: "optional",
      params: workloadPathSchema,
      query: takeOverQuery,
      body: workloadPutSchema,
      answer: expectedChangeSchema,
      handle: (call) => {
        const { box, id } = call.params;
        const { workload, desired } = call.body;
        if (workload.id !== id) {
          throw new AppError("invalid", `workload.id: given ${workload.id}; allowed: ${id}, as in the address`, {
            field: "workload.id",
          });
        }
        return edit(call, box, {
          decide: (set) => {
            const held = set.entries.find((entry) => entry.workload.id === id);
            if (held === undefined) requireRoom(set);
            const put = [{ workload: revealed(workload, held), desired: desired ?? held?.desired ?? "running" }];
            return { put, takeOver: call.query.takeOver };
          },
          write: writing(call, box, { action: "workload.put", workload: id, text: `${id} was put on ${box}` }),
        });
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/boxes/{box}/workloads/{id}",
      access: "operator",
      summary: "Have the box stop this workload and forget it",
      conditional: "optional",
      params: workloadPathSchema,
      query: takeOverQuery,
      answer: expectedChangeSchema,
      handle: (call) => {
        const { box, id } = call.params;
        const context = writing(call, box, {
          action: "workload.remove",
          workload: id,
          text: `${id} was removed from ${box}`,
        });
        const { expectedRevision } = call;
        const asked = { remove: [id], takeOver: call.query.takeOver };
        return store.expected.change(box, asked, { ...context, expectedRevision });
      },
    }),
    route({
      method: "PUT",
      path: "/v1/boxes/{box}/workloads",
      access: "operator",
      summary: "Make what people put on this box exactly this; what rollouts placed stays",
      conditional: "required",
      params: boxPathSchema,
      query: setQuery,
      body: workloadSetPutSchema,
      maxBodyBytes: MAX_SET_BYTES,
      answer: z.union([expectedChangeSchema, expectedDiffSchema]),
      handle: async (call) => {
        const { box } = call.params;
        const set = await store.expected.get(box);
        const held = new Map(set.entries.map((entry) => [entry.workload.id, entry]));
        const entries = call.body.workloads.map(({ workload, desired }) => ({
          workload: revealed(workload, held.get(workload.id)),
          desired,
        }));
        const { takeOver, dryRun } = call.query;
        if (dryRun === true) {
          const diff = decideReplacement(set.entries, entries, { takeOver });
          return { revision: set.revision, put: diff.put.map(({ workload }) => workload.id), remove: [...diff.remove] };
        }
        const context = writing(call, box, {
          action: "workload.replace-all",
          text: `The workloads of ${box} were replaced`,
        });
        const { expectedRevision } = call;
        return store.expected.replace(box, { entries, takeOver }, { ...context, expectedRevision });
      },
    }),
    setDesired("hibernated", "hibernate", "Release what the workload uses and keep its place"),
    setDesired("running", "wake", "Have a hibernated workload run again"),
  ];
}

export function entryView({ workload, owner, desired }: ExpectedEntry, statuses: ReturnType<typeof statusesOf>) {
  const status = statuses.get(workload.id);
  return {
    workload: maskWorkload(workload),
    ...(owner === undefined ? {} : { owner }),
    desired,
    ...(status === undefined ? {} : { status: maskStatus(status) }),
  };
}

function entryOf(set: ExpectedSet, id: string): ExpectedEntry {
  const entry = set.entries.find(({ workload }) => workload.id === id);
  if (entry === undefined) throw notFound(`workload on box ${set.boxId}`, id);
  return entry;
}

function requireRoom({ boxId, entries }: ExpectedSet): void {
  if (entries.length < MAX_WORKLOADS_A_BOX) return;
  throw new AppError("exhausted", `box ${boxId} has ${entries.length} workloads already; it takes no more`);
}

/** With the secrets that its sender saw masked. */
function revealed(asked: Workload, held: ExpectedEntry | undefined): Workload {
  if (asked.kind === "tunnel") {
    throw new AppError("invalid", "workload.kind: given tunnel, one end of which is none; declare it at /v1/tunnels", {
      field: "workload.kind",
    });
  }
  if (asked.kind === "session") {
    throw new AppError(
      "invalid",
      "workload.kind: given session, which has a life of its own; declare it at /v1/sessions",
      {
        field: "workload.kind",
      },
    );
  }
  const { workload, unknown } = unmaskWorkload(asked, held?.workload);
  if (unknown[0] === undefined) return workload;
  const first = `workload.${unknown[0]}`;
  throw new AppError(
    "invalid",
    `${first}: given a masked value (***) that hides nothing the hub holds; give it whole`,
    {
      field: first,
    },
  );
}
