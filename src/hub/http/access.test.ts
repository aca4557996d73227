import { describe, expect, test } from "vitest";
import { hubRoutes, startTestHub, type TestHub } from "../hub-world.fake.ts";
import type { Route } from "./route.ts";

/**
 * Who may call which route, written down a second time on purpose: a route that is not in this table, or is here and does not
 * exist, fails. A role not named may not.
 */
const EXPECTED: Readonly<Record<string, Route["access"]>> = {
  "GET /healthz": "public",
  "GET /readyz": "public",
  "POST /v1/enrol": "public",
  "GET /v1/boxes/{box}/workloads/{id}/picture": "public",
  "GET /v1/boxes/{box}/events": "box-any-state",
  "POST /v1/boxes/{box}/report": "box-any-state",
  "PUT /v1/boxes/{box}/key": "box",
  "POST /v1/boxes/{box}/log-streams/{stream}": "box",
  "GET /v1/routers/keys": "public",
  "GET /v1/remote/terminal": "public",
  "GET /v1/remote/recordings": "operator",
  "GET /v1/remote/recordings/{id}": "operator",
  "POST /v1/routers": "router",
  "GET /v1/routers": "viewer",
  "DELETE /v1/routers/{id}": "admin",
  "POST /v1/boxes/{box}/remote": "operator",
  "POST /v1/remote/{id}/rejoin": "operator",
  "GET /v1/remote": "operator",
  "GET /v1/remote/{id}": "operator",
  "GET /v1/remote/{id}/why": "operator",
  "DELETE /v1/remote/{id}": "operator",
  "POST /sync": "operator",
  "GET /sync": "viewer",
  "GET /sync/{id}": "viewer",
  "DELETE /sync/{id}": "operator",
  "POST /sync/{id}/retry": "operator",
  "POST /sync/{id}/reassign": "operator",
  "POST /workers/heartbeat": "worker",
  "GET /workers": "viewer",
  "POST /workers/{id}/assignment": "worker",
  "GET /workers/{id}/requests": "viewer",
  "POST /workers/plan": "worker",
  "GET /workers/plan/{id}": "worker",
  "POST /workers/result": "worker",
  "POST /v1/boxes/{box}/segments": "box",
  "GET /v1/whoami": "viewer",
  "GET /v1/overview": "viewer",
  "GET /v1/boxes": "viewer",
  "GET /v1/boxes/{box}": "viewer",
  "GET /v1/boxes/{box}/history": "viewer",
  "GET /v1/boxes/{box}/workloads": "viewer",
  "GET /v1/boxes/{box}/workloads/{id}": "viewer",
  "GET /v1/workloads": "viewer",
  "GET /v1/rollouts": "viewer",
  "GET /v1/rollouts/{id}": "viewer",
  "GET /v1/events": "viewer",
  "GET /v1/boxes/{box}/commands": "viewer",
  "GET /v1/boxes/{box}/commands/{id}": "viewer",
  "GET /v1/boxes/{box}/telemetry": "viewer",
  "GET /v1/boxes/{box}/logs": "viewer",
  "GET /v1/alerts": "viewer",
  "GET /v1/tunnels": "viewer",
  "GET /v1/tunnels/{uid}": "viewer",
  "GET /v1/sessions": "viewer",
  "GET /v1/sessions/{id}": "viewer",
  "GET /v1/alert-rules": "viewer",
  "GET /v1/deliveries": "viewer",
  "GET /metrics": "viewer",
  "POST /v1/boxes/{box}/commands": "operator",
  "POST /v1/tunnels": "operator",
  "PUT /v1/tunnels/{uid}": "operator",
  "POST /v1/tunnels/{uid}/rotate": "operator",
  "DELETE /v1/tunnels/{uid}": "operator",
  "POST /v1/sessions": "operator",
  "PUT /v1/sessions/{id}": "operator",
  "DELETE /v1/sessions/{id}": "operator",
  "POST /v1/sessions/{id}/hibernate": "operator",
  "POST /v1/sessions/{id}/wake": "operator",
  "POST /v1/sessions/{id}/touch": "operator",
  "PUT /v1/alert-rules/{id}": "operator",
  "DELETE /v1/alert-rules/{id}": "operator",
  "PATCH /v1/boxes/{box}": "operator",
  "PUT /v1/boxes/{box}/workloads": "operator",
  "PUT /v1/boxes/{box}/workloads/{id}": "operator",
  "DELETE /v1/boxes/{box}/workloads/{id}": "operator",
  "POST /v1/boxes/{box}/workloads/{id}/hibernate": "operator",
  "POST /v1/boxes/{box}/workloads/{id}/wake": "operator",
  "PUT /v1/rollouts/{id}": "operator",
  "DELETE /v1/rollouts/{id}": "operator",
  "GET /v1/enrolments": "operator",
  "POST /v1/enrolments": "operator",
  "DELETE /v1/enrolments/{id}": "operator",
  "POST /v1/boxes/{box}/approve": "admin",
  "POST /v1/boxes/{box}/revoke": "admin",
  "POST /v1/boxes/{box}/release": "admin",
  "DELETE /v1/boxes/{box}": "admin",
  "GET /v1/tokens": "admin",
  "POST /v1/tokens": "admin",
  "DELETE /v1/tokens/{id}": "admin",
  "GET /v1/audit": "admin",
  "GET /v1/backup": "admin",
};

const CALLERS = [
  "nobody",
  "stranger",
  "viewer",
  "operator",
  "admin",
  "router",
  "itself",
  "other box",
  "waiting box",
] as const;
type CallerName = (typeof CALLERS)[number];

const ALLOWED: Readonly<Record<Route["access"], readonly CallerName[]>> = {
  router: ["router", "admin"],
  public: ["nobody", "viewer", "operator", "admin", "router", "itself", "other box", "waiting box"],
  viewer: ["viewer", "operator", "admin"],
  operator: ["operator", "admin"],
  admin: ["admin"],
  box: ["itself"],
  "box-any-state": ["itself"],
  worker: ["operator", "admin", "itself", "other box"],
};

test("every route of the hub is in the table of who may call it, and the table holds no other", () => {
  const actual = Object.fromEntries(hubRoutes().map(({ method, path, access }) => [`${method} ${path}`, access]));
  expect(actual).toEqual(EXPECTED);
});

describe("each caller against each route", () => {
  test("lets through exactly those whom the table allows", async () => {
    await using hub = await startTestHub();
    const tokens = await tokensOf(hub);
    const wrong: string[] = [];
    for (const { method, path, access } of hubRoutes()) {
      for (const caller of CALLERS) {
        // The last two of these would do to the boxes and tokens of this test what they are for.
        const own = caller === "other box" ? "other" : "mine";
        const target = path
          .replace("{box}", caller === "waiting box" ? "waiting" : "mine")
          // The id of a worker is that of its box.
          .replace("{id}", path === "/workers/{id}/assignment" ? own : "no-such");
        const status = await statusOf(hub, { method, target, token: tokens[caller] });
        const isOpen = status !== 401 && status !== 403;
        const mayWait = access === "box-any-state" && caller === "waiting box";
        if (isOpen !== (ALLOWED[access].includes(caller) || mayWait))
          wrong.push(`${caller}: ${method} ${path} → ${status}`);
        if (caller === "admin" && /revoke$|DELETE \/v1\/boxes\/\{box\}$/.test(`${method} ${path}`)) {
          tokens.itself = await replaceBox(hub, "mine");
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

async function tokensOf(hub: TestHub): Promise<Record<CallerName, string | null>> {
  return {
    nobody: null,
    stranger: "slo_nobody-has-this-token-0000000000000000",
    ...hub.tokens,
    router: (await hub.ask("POST", "/v1/tokens", { body: { name: "router", role: "router" } })).body.token,
    itself: await hub.enrol("mine"),
    "other box": await hub.enrol("other"),
    "waiting box": await hub.enrol("waiting", { approve: false }),
  };
}

async function replaceBox(hub: TestHub, boxId: string): Promise<string> {
  await hub.ask("DELETE", `/v1/boxes/${boxId}`);
  return hub.enrol(boxId);
}

/** Of the headers alone: event streams do not end. */
async function statusOf(
  hub: TestHub,
  asked: { readonly method: string; readonly target: string; readonly token: string | null },
): Promise<number> {
  const stop = new AbortController();
  const { method, target, token } = asked;
  const response = await fetch(`${hub.origin}${target}`, {
    method,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    signal: stop.signal,
  });
  const { status } = response;
  stop.abort();
  return status;
}
