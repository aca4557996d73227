import { createAlertsView } from "./views/alerts-view.js";
import { createAuditView } from "./views/audit-view.js";
import { createBoxView } from "./views/box-view.js";
import { createBoxesView } from "./views/boxes-view.js";
import { createEditView } from "./views/edit-view.js";
import { createEnrolmentView } from "./views/enrolment-view.js";
import { createEventsView } from "./views/events-view.js";
import { createLogsView } from "./views/logs-view.js";
import { createRecordingView } from "./views/recording-view.js";
import { createRemoteView } from "./views/remote-view.js";
import { createRolloutsView } from "./views/rollouts-view.js";
import { createSessionView } from "./views/session-view.js";
import { createSessionsView } from "./views/sessions-view.js";
import { createStartSessionView } from "./views/start-session-view.js";
import { createStartView } from "./views/start-view.js";
import { createTerminalView } from "./views/terminal-view.js";
import { createTokensView } from "./views/tokens-view.js";
import { createTransferView } from "./views/transfer-view.js";
import { createTransfersView } from "./views/transfers-view.js";
import { createTunnelView } from "./views/tunnel-view.js";
import { createTunnelsView } from "./views/tunnels-view.js";
import { createWorkloadView } from "./views/workload-view.js";
import { createWorkloadsView } from "./views/workloads-view.js";

/** What the address may name, as data: `:name` stands for one encoded part. `nav`: its place in the menu. */
export const ROUTES = [
  { path: "/boxes", nav: "Boxes", role: "viewer", create: createBoxesView },
  { path: "/workloads", nav: "Workloads", role: "viewer", create: createWorkloadsView },
  { path: "/start", nav: "Start a stream", role: "operator", create: createStartView },
  { path: "/tunnels", nav: "Tunnels", role: "viewer", create: createTunnelsView },
  { path: "/sessions", nav: "Sessions", role: "viewer", create: createSessionsView },
  { path: "/transfers", nav: "Transfers", role: "viewer", create: createTransfersView },
  { path: "/remote", nav: "Remote", role: "operator", create: createRemoteView },
  { path: "/rollouts", nav: "Rollouts", role: "viewer", create: createRolloutsView },
  { path: "/events", nav: "Events", role: "viewer", create: createEventsView },
  { path: "/alerts", nav: "Alerts", role: "viewer", create: createAlertsView },
  { path: "/enrolment", nav: "Enrolment", role: "operator", create: createEnrolmentView },
  { path: "/tokens", nav: "Tokens", role: "admin", create: createTokensView },
  { path: "/audit", nav: "Audit", role: "admin", create: createAuditView },
  { path: "/start-session", role: "operator", create: createStartSessionView },
  { path: "/sessions/:id", role: "viewer", create: createSessionView },
  { path: "/transfers/:id", role: "viewer", create: createTransferView },
  { path: "/remote/recordings/:id", role: "operator", create: createRecordingView },
  { path: "/tunnels/:uid", role: "viewer", create: createTunnelView },
  { path: "/boxes/:box", role: "viewer", create: createBoxView },
  { path: "/boxes/:box/logs", role: "viewer", create: createLogsView },
  { path: "/boxes/:box/terminal", role: "operator", create: createTerminalView },
  { path: "/boxes/:box/workloads/:id", role: "viewer", create: createWorkloadView },
  { path: "/boxes/:box/workloads/:id/edit", role: "operator", create: createEditView },
];

/**
 * @param {string} hash `#/boxes/north-1?tab=logs`
 * @returns {{route: object, params: Record<string, string>, query: URLSearchParams} | undefined}
 */
export function findRoute(hash) {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const parts = path.split("/");
  for (const route of ROUTES) {
    const names = route.path.split("/");
    if (names.length !== parts.length) continue;
    const params = {};
    const matches = names.every((name, index) => {
      if (!name.startsWith(":")) return name === parts[index];
      params[name.slice(1)] = decodePart(parts[index]);
      return params[name.slice(1)] !== "";
    });
    if (matches) return { route, params, query: new URLSearchParams(search) };
  }
  return undefined;
}

function decodePart(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
