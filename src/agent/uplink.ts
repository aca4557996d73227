import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Service } from "../base/service.ts";
import { hubOfEvents } from "../contract/hub-address.ts";
import type { AgentStatus } from "../contract/local-status.ts";
import { REMOTE_WHY_COMMAND } from "../contract/remote/box-why.ts";
import { EARLY_PROOF_CAPABILITY } from "../contract/remote/early-proof.ts";
import { REMOTE_COMMAND } from "../contract/remote/offer.ts";
import { isSessionCommand } from "../contract/session-command.ts";
import type { AgentContext } from "./agent-context.ts";
import type { BadInputs } from "./bad-inputs.ts";
import { type CommandAction, createCommandRunner } from "./command-runner.ts";
import type { Engine } from "./engine.ts";
import type { Enrolment } from "./enrol/enrolment.ts";
import { readTokenFile } from "./link/credentials.ts";
import { createHold } from "./link/hold.ts";
import { createLink, type Link } from "./link/link.ts";
import { createServerClock } from "./link/server-clock.ts";
import { createLogStreams, type LogStreams } from "./log-stream/log-streams.ts";
import type { CommandJournal } from "./registry/command-journal.ts";
import type { RemoteAccess } from "./remote/remote-access.ts";
import { createQueueFile } from "./report/queue-file.ts";
import { createReporter, QUEUE_BOUNDS, type Reporter, type ReportPicture } from "./report/reporter.ts";
import { createSessionCommands } from "./session-commands.ts";

/** Tells the server what the box does. `picture` is asked for each report. */
export function createUplinkReporter(
  context: AgentContext,
  { picture, journal }: { readonly picture: () => ReportPicture; readonly journal: CommandJournal },
): Reporter {
  const { options } = context;
  const reporter = createReporter(options.report, {
    fetch: context.enrolment?.fetch ?? context.fetch,
    clock: context.clock,
    random: context.random,
    log: context.logFor("REPORT"),
    token: () => readToken(context),
    snapshot: picture,
    onAnswersDelivered: journal.told,
    session: newSession(),
    queueFile: createQueueFile(join(options.files.stateDir, "report-queue.jsonl"), 4 * QUEUE_BOUNDS.maxBytes),
  });
  return { ...reporter, run: onceEnrolled(context, reporter.run) };
}

/** Nothing goes to a hub before this box is one of its own. */
function onceEnrolled({ enrolment }: AgentContext, run: Service["run"]): Service["run"] {
  if (enrolment === undefined) return run;
  return async (signal) => {
    await enrolment.enrolled(signal);
    await run(signal);
  };
}

export interface UplinkParts {
  readonly reporter: Reporter;
  readonly badInputs: BadInputs;
  readonly journal: CommandJournal;
  /** `agent` or the id of a workload; `undefined`: there is no such log. */
  readonly logFile: (source: string) => string | undefined;
  /** Somebody uses this session. False: nothing of that name runs here. */
  readonly touch: (sessionId: string) => boolean;
  readonly remote: Pick<RemoteAccess, "offer" | "why" | "abilities">;
}

export interface UplinkLink extends Link {
  readonly hold: () => AgentStatus["hold"];
  /** Told in each report, so that a hub offers only what this agent can do. */
  readonly capabilities: readonly string[];
  /** What the server asked for, beside its expectations. */
  readonly services: readonly Service[];
}

/** Brings what the server says to the engine. */
export function createUplinkLink(
  context: AgentContext,
  engine: Pick<Engine, "store" | "commanded" | "reconciler">,
  { reporter, badInputs, journal, logFile, touch, remote }: UplinkParts,
): UplinkLink {
  const { clock, enrolment, options } = context;
  const { store, commanded, reconciler } = engine;
  const log = context.logFor("SSE");
  const occurred = (kind: string, text: string) =>
    reporter.occurred({ kind, text: context.redactor.redact(text), at: new Date(clock.wallMs()).toISOString() });

  const logStreams = createUplinkLogs(context, logFile);
  const actions: Readonly<Record<string, CommandAction>> = {
    reconcile: async () => JSON.stringify(await reconciler.reconcile()),
    ...createSessionCommands({ commanded, touch }),
    // Also where nothing is allowed: who asks is told so.
    [REMOTE_COMMAND]: remote.offer,
    [REMOTE_WHY_COMMAND]: remote.why,
    ...(logStreams === undefined ? {} : { logs: logStreams.open }),
    ...(enrolment === undefined ? {} : { "rotate-key": rotation(enrolment) }),
  };
  const serverClock = createServerClock(clock);
  const commands = createCommandRunner({
    clock,
    log,
    commands: actions,
    journal,
    // A session is in the book of remote sessions before anything of it starts: offered again it is joined, never begun twice.
    recordsItself: (name) => name === REMOTE_COMMAND,
    // What such a command changes is stored before it is answered, with the command's id.
    traceOf: (name, id) => (isSessionCommand(name) ? { text: commanded.outcomeOf(id) } : undefined),
    serverNowMs: serverClock.nowMs,
    onResult: reporter.commandResult,
  });

  const hold = createHold(options.box.id, { clock, log });
  const link = createLink(
    { ...options.link, outputTemplate: options.streams.outputTemplate },
    {
      fetch: context.enrolment?.fetch ?? context.fetch,
      clock,
      random: context.random,
      log,
      token: () => readToken(context),
      cursor: store.cursor,
      onEvent: async (event, eventId) => {
        if (event.kind === "hold") return hold.begin(event.reason);
        // While it was in quarantine the hub may have heard its copy, and takes this agent for one of the past.
        if (hold.status()?.reason === "quarantined") reporter.renewSession(newSession());
        hold.end();
        if (event.kind === "ready") return;
        if (event.kind === "command") return commands.take(event);
        for (const { id, reason } of "rejected" in event ? event.rejected : []) {
          badInputs.add("workload");
          const text = `Rejected ${id ?? "a workload without a readable id"}: ${reason}`;
          log.warn(text);
          occurred("rejected", text);
        }
        const { needsSnapshot } = await store.apply(event, eventId);
        if (needsSnapshot !== undefined) link.requestSnapshot(needsSnapshot);
      },
      onCursor: store.moveCursor,
      onBadEvent: (reason, message) => {
        badInputs.add(`event:${reason}`);
        occurred("bad-event", message);
      },
      onConnected: () => {
        store.connected();
        reconciler.wake({ reason: "connect", isLoud: true });
        logStreams?.linked(true);
        reporter.changed();
      },
      onDisconnected: () => {
        logStreams?.linked(false);
        reporter.changed();
      },
      onServerDate: serverClock.heard,
      progress: context.progress.loop("link"),
    },
  );
  return {
    ...link,
    hold: hold.status,
    capabilities: [
      ...Object.keys(actions).map((name) => `command:${name}`),
      ...remote.abilities.map((ability) => `remote:${ability}`),
      EARLY_PROOF_CAPABILITY,
    ],
    services: logStreams === undefined ? [commands] : [commands, logStreams],
    run: onceEnrolled(context, link.run),
  };
}

/** `undefined`: the server is not known to take logs. */
function createUplinkLogs(context: AgentContext, logFile: UplinkParts["logFile"]): LogStreams | undefined {
  const { clock, enrolment, options, redactor } = context;
  const hub = hubOfEvents(options.link.endpoint ?? "");
  if (hub === undefined) return undefined;
  return createLogStreams(hub, {
    clock,
    log: context.logFor("REMOTE"),
    redact: redactor.redact,
    ledger: context.logLedger,
    logFile,
    token: () => readToken(context),
    trust: () => ({ ca: enrolment?.ca(), certificate: context.clientCertificate }),
  });
}

function newSession(): string {
  return randomBytes(8).toString("hex");
}

function rotation(enrolment: Enrolment): CommandAction {
  return async (_args, signal) => {
    await enrolment.rotate(signal);
    return "the key was changed";
  };
}

/** Read anew each time, so that a rotated token needs no restart; known to the redactor before anything can tell it. */
export async function readToken({ enrolment, options, redactor }: AgentContext): Promise<string | undefined> {
  if (enrolment !== undefined) return enrolment.key();
  const { token, tokenFile } = options.link;
  const current = tokenFile === undefined ? token : await readTokenFile(tokenFile);
  if (current !== undefined) redactor.rotateSecret("link.token", current);
  return current;
}
