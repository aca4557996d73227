import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { workloadPathSchema } from "../../contract/fleet/expected-view.ts";
import { PICTURE_PAGE, pictureHeaders } from "../http/picture-page.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";

/**
 * The frame in which the dashboard shows a live picture. A browser sends no token with a frame, so anybody may ask. Nobody learns
 * anything: the page is always the same, and its policy names a place only to who has named the very same.
 */
export function createPictureRoute({ store }: Pick<HubContext, "store">): Route {
  return route({
    method: "GET",
    path: "/v1/boxes/{box}/workloads/{id}/picture",
    access: "public",
    summary:
      "A page that plays the workload's live picture, allowed to fetch it from where the workload's pictureUrl is",
    params: workloadPathSchema,
    query: z.object({ from: z.string().max(300).describe("The origin of the pictureUrl: `wss://media.example`.") }),
    streamType: "text/html",
    stream: async ({ params, query }, { response }) => {
      const origin = await pictureOrigin(store, params);
      response.writeHead(200, pictureHeaders(origin === query.from ? origin : undefined));
      response.end(PICTURE_PAGE);
    },
  });
}

async function pictureOrigin(
  { expected }: HubContext["store"],
  { box, id }: z.output<typeof workloadPathSchema>,
): Promise<string | undefined> {
  try {
    const workload = (await expected.get(box)).entries.find((entry) => entry.workload.id === id)?.workload;
    const url = workload !== undefined && "pictureUrl" in workload ? workload.pictureUrl : undefined;
    return url === undefined ? undefined : originOf(url);
  } catch (thrown) {
    // Which boxes there are is nobody's business either.
    if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
    throw thrown;
  }
}

/** `wss://media.example:8443`, without the path: policies are of hosts, and `URL.origin` knows no ws. */
function originOf(text: string): string {
  const { protocol, host } = new URL(text);
  return `${protocol}//${host}`;
}
