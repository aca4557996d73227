import { AppError } from "../base/errors.ts";
import type { ConfigProblem } from "./config-problem.ts";
import type { HubOptions, StoreOptions } from "./hub-options.ts";
import { HUB_OPTIONS, type HubOptionKey } from "./hub-options-table.ts";
import { hostPortOf, parseStoreAddress } from "./store-address.ts";

type Values = ReadonlyMap<HubOptionKey, unknown>;

/** Of values that have passed their rows' schemas. */
export function toHubOptions(values: Values): HubOptions {
  const text = (key: HubOptionKey): string | undefined => {
    const value = values.get(key);
    return value === undefined ? undefined : String(value);
  };
  const number = (key: HubOptionKey) => Number(values.get(key));
  const list = (key: HubOptionKey): readonly string[] => {
    const value = values.get(key);
    return Array.isArray(value) ? value.map(String) : [];
  };
  const listen = hostPortOf(text("server.listen") ?? "", 0);
  if (listen === undefined) throw new AppError("config", "server.listen: is no address with a port");
  return {
    server: {
      ...listen,
      publicUrl: text("server.publicUrl")?.replace(/\/+$/, ""),
      ownUrl: text("server.ownUrl")?.replace(/\/+$/, ""),
      trustedProxies: list("server.trustedProxies"),
      drainMs: number("server.drainSeconds") * 1000,
    },
    metrics: hostPortOf(text("metrics.listen") ?? "", 0),
    tls: {
      mode: HUB_OPTIONS["tls.mode"].value.schema.parse(values.get("tls.mode")),
      certFile: text("tls.certFile"),
      keyFile: text("tls.keyFile"),
      names: list("tls.names"),
      clientCaFile: text("tls.clientCaFile"),
      clientCertificates: HUB_OPTIONS["tls.clientCertificates"].value.schema.parse(
        values.get("tls.clientCertificates"),
      ),
    },
    store: storeOf(values, text),
    secrets: { keyFile: text("secrets.keyFile") },
    webhooks: { allowedNetworks: list("webhooks.allowedNetworks") },
    enrolment: { approval: HUB_OPTIONS["enrolment.approval"].value.schema.parse(values.get("enrolment.approval")) },
    limits: {
      operatorPerSecond: number("limits.operatorPerSecond"),
      boxPerSecond: number("limits.boxPerSecond"),
      workerPerSecond: number("limits.workerPerSecond"),
      addressPerSecond: number("limits.addressPerSecond"),
    },
    sessions: { perUser: values.get("sessions.perUser") === undefined ? undefined : number("sessions.perUser") },
    remote: {
      enabled: values.get("remote.enabled") === true,
      ownRouter: values.get("remote.ownRouter") === true,
      perUser: number("remote.perUser"),
      total: number("remote.total"),
      idleSeconds: number("remote.idleSeconds"),
      maxSeconds: number("remote.maxSeconds"),
      resumeSeconds: number("remote.resumeSeconds"),
      recordings: HUB_OPTIONS["remote.recordings"].value.schema.parse(values.get("remote.recordings")),
      recordingDays: values.get("remote.recordingDays") === undefined ? undefined : number("remote.recordingDays"),
    },
    files: { dataDir: text("files.dataDir") ?? "" },
    log: { level: HUB_OPTIONS["log.level"].value.schema.parse(values.get("log.level")) },
  };
}

function storeOf(values: Values, text: (key: HubOptionKey) => string | undefined): StoreOptions {
  const address = parseStoreAddress(text("store.url") ?? "");
  if (address === undefined) throw new AppError("config", "store.url: is no address of a store");
  if (address.kind !== "redis") return address;
  return {
    ...address,
    passwordFile: text("store.passwordFile"),
    caFile: text("store.caFile"),
    prefix: text("store.prefix") ?? "",
    replicas: Number(values.get("store.replicas")),
  };
}

/** Options that only make sense together. Before defaults are filled in. */
export function tlsProblems(values: Values, origins: ReadonlyMap<HubOptionKey, string>): ConfigProblem[] {
  const unused = (key: HubOptionKey, message: string): ConfigProblem[] =>
    values.has(key) ? [{ origin: origins.get(key) ?? "", key, message }] : [];
  const mode = values.get("tls.mode");
  const modeOrigin = origins.get("tls.mode") ?? "";
  const files = (["tls.certFile", "tls.keyFile"] as const).flatMap((key): ConfigProblem[] => {
    if (mode !== "files") return unused(key, "was given without tls.mode files, which alone uses it");
    return values.has(key) ? [] : [{ origin: modeOrigin, key, message: "was given nothing; tls.mode files needs it" }];
  });
  const ca = "tls.clientCaFile";
  const ended = "was given with tls.mode off; what ends TLS in front of the hub has to ask for certificates";
  const alone = `was given without ${ca}, which alone uses it`;
  return [
    ...files,
    ...(mode === "off" ? unused(ca, ended) : []),
    ...(values.has(ca) ? [] : unused("tls.clientCertificates", alone)),
  ];
}
