import { createHash, randomBytes } from "node:crypto";
import { AppError } from "../src/base/errors.ts";
import { enrolmentCreatedSchema } from "../src/contract/fleet/token.ts";
import type { Report } from "../src/contract/report.ts";

/** A hub that a box can be enrolled at: a process or one in this process. */
export interface EnrollingHub {
  readonly origin: string;
  call(method: string, path: string, body?: unknown): Promise<unknown>;
}

/** A box without an agent: what it says of itself is what a test gives it to say. */
export interface ReportedBox {
  readonly id: string;
  readonly key: string;
  /** Sends one report, a usual one but for what is given. */
  report(given?: Partial<Report>): Promise<void>;
}

/** Enrols a box as an agent would. `approve: false`: it waits for a person. */
export async function enrolReportedBox(
  hub: EnrollingHub,
  id: string,
  wish: { readonly labels?: Record<string, string>; readonly name?: string; readonly approve?: boolean } = {},
): Promise<ReportedBox> {
  const { labels = {}, name, approve = true } = wish;
  const { token = "" } = enrolmentCreatedSchema.parse(await hub.call("POST", "/v1/enrolments", { approve }));
  const secret: { token: string } = JSON.parse(Buffer.from(token.slice("sluice1.".length), "base64url").toString());
  const key = randomBytes(32).toString("base64url");
  const keyHash = createHash("sha256").update(key).digest("hex");
  await post(`${hub.origin}/v1/enrol`, undefined, {
    token: secret.token,
    boxId: id,
    keyHash,
    labels,
    ...(name === undefined ? {} : { name }),
  });
  const session = randomBytes(8).toString("hex");
  let sequence = 0;
  return {
    id,
    key,
    report: async (given = {}) => {
      sequence++;
      await post(`${hub.origin}/v1/boxes/${id}/report`, key, { ...usualReport(id, session, sequence), ...given });
    },
  };
}

function usualReport(boxId: string, session: string, sequence: number): Report {
  const now = new Date().toISOString();
  return {
    version: 1,
    sequence,
    session,
    sentAt: now,
    boxId,
    bootId: "00000000-0000-4000-8000-000000000001",
    agentVersion: "0.0.0",
    verdict: "restart",
    applied: {},
    link: { state: "live", endpoint: "http://hub", since: now, attempts: 0, connects: 1, events: 1, badEvents: {} },
    node: {
      cpuPercent: 23.4,
      cores: 4,
      memory: { totalBytes: 4e9, usedBytes: 1.5e9 },
      disks: [{ path: "/", totalBytes: 32e9, usedBytes: 9e9 }],
      temperatureC: 51,
    },
    workloads: [],
    occurrences: [],
    dropped: 0,
    commandResults: [],
  };
}

async function post(url: string, key: string | undefined, body: unknown): Promise<void> {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new AppError("unavailable", `POST ${url}: ${answer.status} ${await answer.text()}`);
}
