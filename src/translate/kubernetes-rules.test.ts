import fc from "fast-check";
import { Deployment, type IDeployment } from "kubernetes-models/apps/v1";
import { PersistentVolumeClaim, Secret, Service } from "kubernetes-models/v1";
import { expect, test } from "vitest";
import { sessionIdSchema, sessionRunSpecSchema } from "../contract/session-spec.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { type KubernetesManifest, toKubernetesManifests } from "./kubernetes-manifests.ts";

/** What an API server holds against objects beyond their schemas, as the Kubernetes documentation has it ("Object Names and IDs", "Labels and Selectors"). */
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const QUALIFIED_NAME = /^(?:[a-z0-9.-]{1,253}\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

const id = fc
  .stringMatching(/^[a-z](?:[a-z0-9-]{0,50}[a-z0-9])?$/)
  .filter((one) => sessionIdSchema.safeParse(one).success);
const part = fc.stringMatching(/^[a-z](?:[a-z0-9-]{0,13}[a-z0-9])?$/);
/** Much of what Kubernetes would read as a variable. */
const value = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: fc.constantFrom("$", "(", ")", "A"), maxLength: 12 }),
);
const port = fc.record(
  {
    port: fc.integer({ min: 1, max: 65_535 }),
    name: part,
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    scheme: fc.constantFrom("http", "rtsp"),
  },
  { requiredKeys: ["port"] },
);
const volume = fc.record(
  {
    name: part,
    path: fc.stringMatching(/^\/[a-z]{1,20}$/),
    readOnly: fc.boolean(),
    onStop: fc.constantFrom("keep" as const, "delete" as const),
  },
  { requiredKeys: ["name", "path"] },
);
const boxId = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/);
const workload: fc.Arbitrary<SessionWorkload> = fc
  .record({
    id,
    env: fc.dictionary(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/), value, {
      maxKeys: 6,
    }),
    secret: fc.option(value, { nil: undefined }),
    ports: fc.uniqueArray(port, {
      maxLength: 5,
      selector: (one) => `${one.port}/${one.protocol ?? "tcp"}`,
    }),
    volumes: fc.uniqueArray(volume, { maxLength: 4, selector: ({ name }) => name }),
    args: fc.array(value, { maxLength: 3 }),
  })
  .map(({ env, secret, ports, volumes, args, ...rest }) => {
    const named = ports.map(({ name, ...one }, index) => (name === undefined ? one : { ...one, name: `p${index}` }));
    return {
      ...rest,
      kind: "session" as const,
      resources: { cpu: "500m", memory: "64Mi" },
      spec: {
        user: "anna",
        template: {
          image: "i",
          args,
          env: { ...env, ...(secret === undefined ? {} : { DB_PASSWORD: secret }) },
          ports: named,
        },
        volumes,
      },
    };
  })
  .filter(({ spec }) => sessionRunSpecSchema.safeParse(spec).success);

const MODELS = { Deployment, PersistentVolumeClaim, Secret, Service } as const;

function podOf(manifests: readonly KubernetesManifest[]) {
  const deployment = manifests.find(({ kind }) => kind === "Deployment") as unknown as IDeployment;
  const { selector, template } = deployment.spec ?? {};
  return { matchLabels: selector?.matchLabels ?? {}, labels: template?.metadata?.labels ?? {}, spec: template?.spec };
}

/** As kubelet reads `command`, `args` and values: `$(NAME)` is put in place, two dollars are one. */
function expand(text: string): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (found, name?: string) => (name === undefined ? "$" : `<${found}>`));
}

test("whatever a session is, an API server would take each object, and they fit together", () => {
  fc.assert(
    fc.property(workload, boxId, (session, box) => {
      const mark = { boxId: box, generation: 1, nonce: "ab".repeat(16), specHash: "h" };
      const manifests = toKubernetesManifests(session, mark, { stateDir: "/var/lib/sluice", namespace: "apps" });
      for (const { kind, metadata, ...rest } of manifests) {
        if (kind === "Ingress") throw new TypeError("no host was given");
        new MODELS[kind](structuredClone({ kind, metadata, ...rest }) as never).validate();
        // A Service's name is part of host names, and PersistentVolumeClaims carry the longest.
        expect(metadata.name).toMatch(kind === "PersistentVolumeClaim" ? DNS_SUBDOMAIN : DNS_LABEL);
        for (const [name, value] of Object.entries(metadata.labels)) {
          expect(name).toMatch(QUALIFIED_NAME);
          expect(value).toMatch(LABEL_VALUE);
        }
        for (const name of Object.keys(metadata.annotations)) expect(name).toMatch(QUALIFIED_NAME);
      }
      const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
      expect(new Set(names).size).toBe(names.length);

      const { matchLabels, labels, spec } = podOf(manifests);
      expect(labels).toMatchObject(matchLabels);
      const [container] = spec?.containers ?? [];
      const claims = (spec?.volumes ?? []).map((one) => one.persistentVolumeClaim?.claimName);
      for (const claim of claims) expect(names).toContain(`PersistentVolumeClaim/${claim}`);
      const volumeNames = (spec?.volumes ?? []).map(({ name }) => name);
      expect((container?.volumeMounts ?? []).map(({ name }) => name)).toEqual(volumeNames);
      for (const name of volumeNames) expect(name).toMatch(DNS_LABEL);

      const secret = manifests.find(({ kind }) => kind === "Secret")?.["data"] as Record<string, string> | undefined;
      const told = Object.fromEntries(
        (container?.env ?? []).map(({ name, value, valueFrom }) => {
          const key = valueFrom?.secretKeyRef?.key;
          return [
            name,
            key === undefined ? expand(value ?? "") : Buffer.from(secret?.[key] ?? "", "base64").toString(),
          ];
        }),
      );
      expect(told).toEqual({ USER: "anna", SESSION_ID: session.id, ...session.spec.template.env });
      expect((container?.args ?? []).map(expand)).toEqual(session.spec.template.args);

      const service = manifests.find(({ kind }) => kind === "Service")?.["spec"] as
        | { readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[] }
        | undefined;
      const open = (container?.ports ?? []).map(({ containerPort, protocol }) => `${containerPort}/${protocol}`);
      expect((service?.ports ?? []).map(({ port: number, protocol }) => `${number}/${protocol}`)).toEqual(open);
      const portNames = (service?.ports ?? []).map(({ name }) => name);
      expect(new Set(portNames).size).toBe(portNames.length);
      for (const name of portNames) expect(name).toMatch(DNS_LABEL);
    }),
    { numRuns: 100 },
  );
});
