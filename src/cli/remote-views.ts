import { oneLine } from "../base/log.ts";
import type { RemoteState, RemoteView } from "../contract/fleet/remote.ts";
import { describeOperation } from "../contract/remote/operation.ts";
import { formatAge, formatBytes } from "./duration.ts";
import type { View } from "./output.ts";
import type { Tone } from "./paint.ts";
import { renderTable } from "./render-table.ts";

const TONES: Readonly<Record<RemoteState, Tone>> = { waiting: "warn", open: "good", broken: "bad", ended: "quiet" };

export function renderRemotes(sessions: readonly RemoteView[], view: View): string {
  if (sessions.length === 0) return "no remote session\n";
  return renderTable(
    sessions,
    [
      { head: "SESSION", text: ({ id }) => id, rank: 9, least: 10 },
      { head: "BOX", text: ({ box }) => box, rank: 9, least: 8 },
      { head: "OPERATOR", text: ({ operator }) => operator, rank: 7, least: 6 },
      { head: "STATE", text: ({ state }) => state, tone: ({ state }) => TONES[state], rank: 9 },
      { head: "AGE", text: ({ createdAt }) => formatAge(createdAt, view.nowMs), align: "right", rank: 6 },
      { head: "TO BOX", text: ({ bytesToBox }) => formatBytes(bytesToBox), align: "right", rank: 4 },
      { head: "FROM BOX", text: ({ bytesFromBox }) => formatBytes(bytesFromBox), align: "right", rank: 4 },
      { head: "DOES", text: ({ operation }) => describeOperation(operation), rank: 8, least: 16 },
      { head: "REASON", text: ({ reason }) => reason, rank: 3, least: 16 },
    ],
    view,
  );
}

export function renderRemote(session: RemoteView, { paint, nowMs }: View): string {
  const { id, box, operator, operation, state, reason, router, attempt, createdAt, endedAt } = session;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["session", id],
    ["box", box],
    ["operator", operator],
    ["does", describeOperation(operation)],
    ["state", `${paint(TONES[state], state)}: ${oneLine(reason)}`],
    ["router", router],
    ["joined", attempt === 1 ? "once" : `${attempt} times`],
    ["begun", `${createdAt} (${formatAge(createdAt, nowMs) ?? "?"} ago)`],
    ["ended", endedAt],
    ["bytes", `${formatBytes(session.bytesToBox)} to the box, ${formatBytes(session.bytesFromBox)} from it`],
  ];
  return rows
    .flatMap(([name, text]) =>
      text === undefined ? [] : [`${name.padEnd(9)} ${name === "state" ? text : oneLine(text)}\n`],
    )
    .join("");
}
