import { Command } from "commander";
import { AppError, messageOf } from "../../base/errors.ts";
import type { ClientCertificate } from "../../base/http-fetch.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../base/run-directory.ts";
import type { AgentOptions } from "../../config/agent-options.ts";
import { loadAgentOptions } from "../../config/load-agent-options.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { type Check, fail, ok, warn } from "../doctor/check.ts";
import {
  checkBootId,
  checkClockSynchronised,
  checkRunDirectory,
  checkStateDirectory,
  checkTokenFile,
} from "../doctor/check-host.ts";
import { checkFfmpeg, checkFfprobe } from "../doctor/check-media-tools.ts";
import { checkRemote } from "../doctor/check-remote.ts";
import { checkSessions } from "../doctor/check-sessions.ts";
import { checkOpenssl, checkStunnel } from "../doctor/check-tunnel-tools.ts";
import { judgeClockAgainst, judgeEndpoint } from "../doctor/judge-endpoint.ts";
import { type EndpointProbe, probeEndpoint } from "../doctor/probe-endpoint.ts";
import { addPlaceFlags, findAgent, type PlaceFlags, toSources } from "../find-agent.ts";
import { createPaint } from "../paint.ts";

export interface DoctorFlags extends PlaceFlags {
  readonly json?: boolean;
}

export function doctorCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("doctor"))
    .description("look at everything that the agent needs on this box, and say what to do about what is wrong")
    .option("--json", "print the checks as JSON")
    .addHelpText(
      "after",
      `
Checks the configuration, FFmpeg and ffprobe, stunnel and openssl, what may run sessions, the state directory and its disk, the boot id, the clock, the token, and the
way to the endpoint: name, TCP, TLS, HTTP, event stream. It changes nothing. Exits 1 when a check fails.`,
    )
    .action(async (flags: DoctorFlags) => finish(await runDoctor(flags, context)));
}

export async function runDoctor(flags: DoctorFlags, context: CommandContext): Promise<number> {
  const checks = await collectChecks(flags, context);
  const { io } = context;
  io.write(flags.json === true ? `${JSON.stringify({ checks }, undefined, 2)}\n` : renderChecks(checks, io.hasColour));
  return checks.some(({ outcome }) => outcome === "fail") ? 1 : 0;
}

async function collectChecks(flags: DoctorFlags, context: CommandContext): Promise<Check[]> {
  const host = [await checkBootId()];
  let options: AgentOptions;
  try {
    const loaded = await loadAgentOptions(toSources(flags, context));
    options = loaded.options;
    for (const warning of loaded.warnings) host.unshift(warn("configuration", warning, "Correct or unset it."));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [fail("configuration", error.message, "Correct it; docs/configuration.md lists every key."), ...host];
  }
  return [
    ok(
      "configuration",
      options.box.isIdGiven ? `of box ${options.box.id}` : "names no box: it is called as it was enrolled",
    ),
    await checkFfmpeg(options.streams.ffmpegPath, context),
    await checkFfprobe(options.streams.ffprobePath, context),
    await checkStunnel(options.tunnels.stunnelPath, context),
    await checkOpenssl(context),
    await checkSessions(options),
    checkRemote(options.policy.remote),
    ...(await checkStateDirectory(options.files.stateDir)),
    await checkRunDirectory(runDirectories(options.files.stateDir, context)),
    ...host,
    ...((await checkHub(flags, context)) ?? (await checkLink(options, context))),
    await checkAgent(options.box, { flags, context }),
  ];
}

function runDirectories(stateDir: string, { env, facts }: CommandContext): readonly string[] {
  const options = {
    stateDir,
    runtimeDirectory: env["RUNTIME_DIRECTORY"],
    xdgRuntimeDirectory: env["XDG_RUNTIME_DIR"],
    userId: facts.isRoot ? 0 : -1,
  };
  return runDirectoryCandidates(options, hashOfDirectory(stateDir));
}

/** `undefined` when the agent goes to its server with no key of its own, or does not answer. */
async function checkHub(flags: DoctorFlags, context: CommandContext): Promise<Check[] | undefined> {
  const status = await (await findAgent(flags, context)).status(context.signal).catch(() => undefined);
  if (status?.enrolment === undefined) return undefined;
  const { enrolment, hold, link } = status;
  const clock =
    (await checkClockSynchronised()) ??
    warn("clock", "nothing says whether it is synchronised", "Compare: date -u; timedatectl");
  const reason = hold?.reason ?? enrolment.reason ?? link.reason;
  if (link.state === "live" && hold === undefined)
    return [clock, ok("hub", `${enrolment.hub}, ${enrolment.state}, live`)];
  const found = `${enrolment.hub}, ${enrolment.state}, link ${link.state}${reason === undefined ? "" : `: ${reason}`}`;
  return [clock, fail("hub", found, "sluice status says what the box waits for; streams stay as they are meanwhile.")];
}

async function checkLink({ link }: AgentOptions, context: CommandContext): Promise<Check[]> {
  const { clock, signal, readTextFile } = context;
  const synchronised = await checkClockSynchronised();
  const clockUnknown = warn("clock", "nothing says whether it is synchronised", "Compare: date -u; timedatectl");
  if (link.endpoint === undefined) {
    const advice = "Set link.endpoint (SSE_ENDPOINT); until then the agent keeps what it last knew.";
    return [synchronised ?? clockUnknown, warn("endpoint", "none is configured", advice)];
  }
  const checks: Check[] = [];
  let { token } = link;
  if (link.tokenFile !== undefined) {
    const result = await checkTokenFile(link.tokenFile);
    checks.push(result.check);
    token = result.token;
  }
  let ca: string | undefined;
  if (link.caFile !== undefined) {
    try {
      ca = await readTextFile(link.caFile);
    } catch (error) {
      checks.push(fail("certificate authorities", messageOf(error), "Check link.caFile and who may read it."));
    }
  }
  let certificate: ClientCertificate | undefined;
  if (link.certFile !== undefined && link.keyFile !== undefined) {
    try {
      certificate = { cert: await readTextFile(link.certFile), key: await readTextFile(link.keyFile) };
    } catch (error) {
      checks.push(
        fail("client certificate", messageOf(error), "Check link.certFile, link.keyFile and who may read them."),
      );
    }
  }
  const request = { url: link.endpoint, token, ca, certificate, timeoutMs: link.connectTimeoutMs };
  const probe: EndpointProbe = await probeEndpoint(request, { clock, signal });
  const clockCheck = synchronised ?? judgeClockAgainst(probe.answer, clock.wallMs()) ?? clockUnknown;
  return [clockCheck, ...checks, ...judgeEndpoint(link.endpoint, probe)];
}

async function checkAgent(
  { id, isIdGiven }: AgentOptions["box"],
  { flags, context }: { readonly flags: DoctorFlags; readonly context: CommandContext },
): Promise<Check> {
  try {
    const { pid, link, boxId } = await (await findAgent(flags, context)).status(context.signal);
    const found = `runs as ${boxId} (pid ${pid}), link ${link.state}`;
    if (!isIdGiven || boxId === id) return ok("agent", found);
    return warn(
      "agent",
      found,
      "The configuration that was looked at is another's: give the agent's own with --config.",
    );
  } catch (error) {
    return warn(
      "agent",
      messageOf(error).split(". ")[0] ?? "",
      "Start it: systemctl start sluice-agent, or sluice agent.",
    );
  }
}

export function renderChecks(checks: readonly Check[], hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const tones = { ok: "good", warn: "warn", fail: "bad" } as const;
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, outcome, found, advice }) => {
    const head = `${paint(tones[outcome], outcome.padEnd(4))}  ${name.padEnd(width)}  ${found}`;
    return advice === undefined ? head : `${head}\n${" ".repeat(width + 8)}→ ${advice}`;
  });
  const failed = checks.filter(({ outcome }) => outcome === "fail").length;
  const warned = checks.filter(({ outcome }) => outcome === "warn").length;
  return `${lines.join("\n")}\n\n${checks.length} checks: ${failed} failed, ${warned} to look at\n`;
}
