import { AppError } from "../../base/errors.ts";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import {
  remoteAdmissionSchema,
  remoteCreateSchema,
  remoteListQuerySchema,
  remotePathSchema,
  remoteViewSchema,
} from "../../contract/fleet/remote.ts";
import { remoteWhyViewSchema } from "../../contract/fleet/remote-why.ts";
import { choosePage } from "../fleet/fleet-pages.ts";
import { actorOf } from "../fleet/write-of.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { AskedBy, RemoteAdmissions } from "./remote-admission.ts";
import type { RemoteBook } from "./remote-book.ts";
import { type Remote, remoteView } from "./remote-record.ts";
import type { RemoteWhy } from "./remote-why.ts";

export interface RemoteRoutesDeps {
  readonly book: RemoteBook;
  readonly admissions: RemoteAdmissions;
  readonly why: RemoteWhy;
  /** With what this hub's own router tells of it at this moment. */
  readonly current: (remote: Remote) => Remote;
}

/** Shells, commands, forwards and rsync on boxes. */
export function createRemoteRoutes({ book, admissions, why, current }: RemoteRoutesDeps): readonly Route[] {
  const view = (remote: Remote) => remoteView(current(remote));
  return [
    route({
      method: "POST",
      path: "/v1/boxes/{box}/remote",
      access: "operator",
      summary: "Open a remote session on a box: a ticket for the router where both ends meet",
      params: boxPathSchema,
      body: remoteCreateSchema,
      answer: remoteAdmissionSchema,
      status: 201,
      handle: (call) => admissions.create(call.params.box, call.body, askedBy(call)),
    }),
    route({
      method: "POST",
      path: "/v1/remote/{id}/rejoin",
      access: "operator",
      summary: "Join one's own session again after a break; the box is asked to come too",
      params: remotePathSchema,
      answer: remoteAdmissionSchema,
      handle: (call) => admissions.rejoin(call.params.id, askedBy(call)),
    }),
    route({
      method: "GET",
      path: "/v1/remote",
      access: "operator",
      summary: "Remote sessions, newest first: those that are not over, then those of the last day",
      query: remoteListQuerySchema,
      answer: pageSchema(remoteViewSchema),
      handle: ({ query }) =>
        choosePage(query, {
          list: (after, limit) => book.list(after, limit),
          choose: async (remote) => {
            const isWanted =
              (query.box === undefined || remote.box === query.box) &&
              (query.state === undefined || remote.state === query.state);
            return isWanted ? view(remote) : undefined;
          },
          cursorOf: ({ id, state }) => (state === "ended" ? `over/${id}` : id),
        }),
    }),
    route({
      method: "GET",
      path: "/v1/remote/{id}",
      access: "operator",
      summary: "One remote session",
      params: remotePathSchema,
      answer: remoteViewSchema,
      handle: async ({ params }) => view(await book.get(params.id)),
    }),
    route({
      method: "GET",
      path: "/v1/remote/{id}/why",
      access: "operator",
      summary:
        "What holds a remote session up: one verdict, with what its box, its operator's end and its router know; takes seconds",
      params: remotePathSchema,
      answer: remoteWhyViewSchema,
      handle: ({ params }) => why.of(params.id),
    }),
    route({
      method: "DELETE",
      path: "/v1/remote/{id}",
      access: "operator",
      summary: "End a remote session; both ends hear who did it",
      params: remotePathSchema,
      answer: remoteViewSchema,
      handle: async (call) => {
        const { id } = call.params;
        const { caller } = askedBy(call);
        const audit = { actor: actorOf(caller), action: "remote.terminate", address: call.address };
        const ended = await book.end(id, () => ({ reason: `${caller.name} has ended it`, audit }));
        return view(ended ?? (await book.get(id)));
      },
    }),
  ];
}

export function askedBy({ caller, request, address, origin }: Call): AskedBy {
  if (caller.kind !== "operator") throw new AppError("refused", "this is for the tokens of operators");
  return { caller, request, address, origin };
}
