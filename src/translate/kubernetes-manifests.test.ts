import { Deployment, type IDeployment } from "kubernetes-models/apps/v1";
import { type IIngress, Ingress } from "kubernetes-models/networking.k8s.io/v1";
import {
  type IPersistentVolumeClaim,
  type ISecret,
  type IService,
  PersistentVolumeClaim,
  Secret,
  Service,
} from "kubernetes-models/v1";
import { describe, expect, test } from "vitest";
import { AppError } from "../base/errors.ts";
import type { SessionRunSpec } from "../contract/session-spec.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { type ClusterPlace, type KubernetesManifest, toKubernetesManifests } from "./kubernetes-manifests.ts";

const MARK = { boxId: "north-1", generation: 3, nonce: "ab".repeat(16), specHash: "h1" };
const PLACE: ClusterPlace = { stateDir: "/var/lib/sluice", namespace: "apps" };

const MODELS = { Deployment, Ingress, PersistentVolumeClaim, Secret, Service } as const;

interface Change {
  readonly spec?: Partial<SessionRunSpec>;
  readonly template?: Partial<SessionRunSpec["template"]>;
  readonly workload?: Partial<SessionWorkload>;
}

function session({ spec, template, workload }: Change = {}): SessionWorkload {
  return {
    kind: "session",
    id: "web",
    spec: { user: "anna", ...spec, template: { image: "nginx:1.27", ...template } },
    ...workload,
  };
}

/** Whatever is translated here is held against the schemas that Kubernetes publishes. */
function translate(change: Change = {}, place: Partial<ClusterPlace> = {}): readonly KubernetesManifest[] {
  const manifests = toKubernetesManifests(session(change), MARK, { ...PLACE, ...place });
  for (const manifest of manifests) {
    const Model = MODELS[manifest.kind];
    expect({ apiVersion: Model.apiVersion, kind: Model.kind }).toEqual({
      apiVersion: manifest.apiVersion,
      kind: manifest.kind,
    });
    new Model(structuredClone(manifest) as never).validate();
  }
  return manifests;
}

function only(kind: KubernetesManifest["kind"], change: Change = {}, place: Partial<ClusterPlace> = {}) {
  return translate(change, place).filter((manifest) => manifest.kind === kind);
}

function refusal(change: Change, place: Partial<ClusterPlace> = {}) {
  try {
    translate(change, place);
  } catch (thrown) {
    if (thrown instanceof AppError) return { code: thrown.code, message: thrown.message };
    throw thrown;
  }
  return undefined;
}

const ownerOf = () => translate()[0]?.metadata.labels["sluice.owner"] ?? "";
const labels = () => ({
  "app.kubernetes.io/name": "sluice-web",
  "app.kubernetes.io/managed-by": "sluice",
  "sluice.owner": ownerOf(),
  "sluice.workload": "web",
});
const selector = () => ({ "sluice.owner": ownerOf(), "sluice.workload": "web" });
const annotations = { "sluice.state-dir": "/var/lib/sluice", "sluice.box": "north-1", "sluice.workload": "web" };
const metadata = () => ({ name: "sluice-web", namespace: "apps", labels: labels(), annotations });

// The types are the published ones: a field that Kubernetes does not know does not compile.
describe("a session becomes", () => {
  test("a Deployment of one pod, with marks that it is found by", () => {
    const expected: IDeployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: {
        ...metadata(),
        annotations: {
          ...annotations,
          "sluice.generation": "3",
          "sluice.nonce": MARK.nonce,
          "sluice.spec": "session/h1",
        },
      },
      spec: {
        replicas: 1,
        strategy: { type: "Recreate" },
        revisionHistoryLimit: 0,
        selector: { matchLabels: selector() },
        template: {
          metadata: { labels: labels(), annotations: { "sluice.spec": "session/h1" } },
          spec: {
            terminationGracePeriodSeconds: 10,
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            securityContext: { seccompProfile: { type: "RuntimeDefault" } },
            containers: [
              {
                name: "session",
                image: "nginx:1.27",
                imagePullPolicy: "IfNotPresent",
                env: [
                  { name: "USER", value: "anna" },
                  { name: "SESSION_ID", value: "web" },
                ],
                securityContext: { allowPrivilegeEscalation: false },
              },
            ],
          },
        },
      },
    };
    expect(translate()).toEqual([expected]);
  });

  test("all that it asks for: program, ports, claims, limits, GPUs", () => {
    const template = {
      command: ["/opt/run"],
      args: ["--cost", "$5", "$(HOME)"],
      workingDirectory: "/srv",
      env: { MODE: "a$b", DB_PASSWORD: "$hunter-22", USER: "other" },
      ports: [
        { name: "web", port: 80, scheme: "http" },
        { port: 5353, protocol: "udp" as const },
      ],
    };
    const volumes = [
      { name: "data", path: "/data", size: "2Gi", onStop: "delete" as const },
      { name: "ro", path: "/ro", readOnly: true },
    ];
    const workload = { resources: { cpu: "500m", memory: "256Mi" } };
    const manifests = translate({ template, spec: { volumes, gpus: 2 }, workload }, { storageClass: "fast" });
    expect(manifests.map(({ kind }) => kind)).toEqual([
      "PersistentVolumeClaim",
      "PersistentVolumeClaim",
      "Secret",
      "Service",
      "Deployment",
    ]);
    const [claim, second, secret, service, deployment] = manifests;
    const expectedClaim: IPersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { ...metadata(), name: "sluice-web-data", labels: { ...labels(), "sluice.on-stop": "delete" } },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "2Gi" } },
        storageClassName: "fast",
      },
    };
    expect(claim).toEqual(expectedClaim);
    expect(second).toMatchObject({
      metadata: { name: "sluice-web-ro", labels: { "sluice.on-stop": "keep" } },
      spec: { resources: { requests: { storage: "10Gi" } } },
    });
    const expectedSecret: ISecret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(),
      type: "Opaque",
      data: { DB_PASSWORD: Buffer.from("$hunter-22").toString("base64") },
    };
    expect(secret).toEqual(expectedSecret);
    const limits = { cpu: "500m", memory: "256Mi", "nvidia.com/gpu": "2" };
    const expectedPod: NonNullable<NonNullable<IDeployment["spec"]>["template"]["spec"]> = {
      terminationGracePeriodSeconds: 10,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name: "session",
          image: "nginx:1.27",
          imagePullPolicy: "IfNotPresent",
          command: ["/opt/run"],
          args: ["--cost", "$$5", "$$(HOME)"],
          workingDir: "/srv",
          env: [
            { name: "USER", value: "other" },
            { name: "SESSION_ID", value: "web" },
            { name: "MODE", value: "a$$b" },
            { name: "DB_PASSWORD", valueFrom: { secretKeyRef: { name: "sluice-web", key: "DB_PASSWORD" } } },
          ],
          ports: [
            { containerPort: 80, protocol: "TCP" },
            { containerPort: 5353, protocol: "UDP" },
          ],
          readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 5 },
          resources: { limits, requests: limits },
          volumeMounts: [
            { name: "data", mountPath: "/data", readOnly: false },
            { name: "ro", mountPath: "/ro", readOnly: true },
          ],
          securityContext: { allowPrivilegeEscalation: false },
        },
      ],
      volumes: [
        { name: "data", persistentVolumeClaim: { claimName: "sluice-web-data" } },
        { name: "ro", persistentVolumeClaim: { claimName: "sluice-web-ro" } },
      ],
    };
    expect(deployment).toMatchObject({ spec: { template: { spec: expectedPod } } });
    const expectedService: IService = {
      apiVersion: "v1",
      kind: "Service",
      metadata: metadata(),
      spec: {
        type: "ClusterIP",
        selector: selector(),
        ports: [
          { name: "web", port: 80, targetPort: 80, protocol: "TCP" },
          { name: "5353-udp", port: 5353, targetPort: 5353, protocol: "UDP" },
        ],
      },
    };
    expect(service).toEqual(expectedService);
    expect(only("Service", { template }, { serviceType: "NodePort" })[0]).toMatchObject({ spec: { type: "NodePort" } });
    expect(only("Deployment", { template: { ports: [{ port: 53, protocol: "udp" }] } })[0]).not.toHaveProperty(
      "spec.template.spec.containers.0.readinessProbe",
    );
  });

  test("an Ingress with a host of its own for each port of the scheme http, and for no other", () => {
    const ports = [
      { name: "web", port: 80, scheme: "http" },
      { port: 8081, scheme: "http" },
      { name: "rtsp", port: 554, scheme: "rtsp" },
    ];
    const place = { ingressHost: "{{port}}-{{session}}.apps.example", ingressClass: "nginx" };
    const path = (number: number) => ({
      paths: [
        { path: "/", pathType: "Prefix" as const, backend: { service: { name: "sluice-web", port: { number } } } },
      ],
    });
    const expected: IIngress = {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: metadata(),
      spec: {
        ingressClassName: "nginx",
        rules: [
          { host: "web-web.apps.example", http: path(80) },
          { host: "8081-web.apps.example", http: path(8081) },
        ],
      },
    };
    expect(only("Ingress", { template: { ports } }, place)).toEqual([expected]);
    expect(only("Ingress", { template: { ports } })).toEqual([]);
    expect(only("Ingress", { template: { ports: [{ port: 554, scheme: "rtsp" }] } }, place)).toEqual([]);
  });
});

test("hibernated it has no pod, and the same pod for each start of the same spec", () => {
  const [asleep] = translate({ workload: { power: { state: "hibernated", turn: 2 } } });
  const [awake] = translate({ workload: { power: { state: "running", turn: 3 } } });
  expect(asleep).toMatchObject({ spec: { replicas: 0 } });
  expect(awake).toMatchObject({ spec: { replicas: 1 } });
  const again = toKubernetesManifests(session(), { ...MARK, generation: 9, nonce: "cd".repeat(16) }, PLACE)[0];
  const other = toKubernetesManifests(session(), { ...MARK, specHash: "h2" }, PLACE)[0];
  expect(again?.["spec"]).toEqual(awake?.["spec"]);
  expect(again?.metadata.annotations["sluice.generation"]).toBe("9");
  expect(other?.["spec"]).not.toEqual(awake?.["spec"]);
});

test("boxes that share a cluster do not take each other's for their own, though their state lies in the same place", () => {
  const labelsOf = (boxId: string, stateDir = PLACE.stateDir) =>
    toKubernetesManifests(session(), { ...MARK, boxId }, { ...PLACE, stateDir })[0]?.metadata.labels["sluice.owner"];
  const owners = [labelsOf("north-1"), labelsOf("north-2"), labelsOf("north-1", "/srv/other")];
  expect(new Set(owners).size).toBe(3);
  for (const owner of owners) expect(owner).toMatch(/^[0-9a-f]{32}$/);
});

test.each([
  ["no image", { template: { image: undefined, command: ["x"] } }, "invalid", "template.image: absent"],
  ["an end", { spec: { restart: "never" } }, "unsupported", "restart: given never"],
  [
    "a port of the box",
    { template: { ports: [{ port: 1, hostPort: 2 }] } },
    "unsupported",
    "template.ports[0].hostPort",
  ],
  ["its address", { template: { ports: [{ port: 1, address: "::1" }] } }, "unsupported", "template.ports[0].address"],
  ["its directory", { spec: { volumes: [{ name: "a", path: "/a", hostPath: "/srv" }] } }, "unsupported", "volumes[0]"],
] as const)("%s is refused with its field", (_title, change, code, message) => {
  expect(refusal(change as Change)).toEqual({ code, message: expect.stringContaining(message) });
});

test("no two ports are published under one host, and no session under a name that is none", () => {
  const http = (port: number) => ({ port, scheme: "http" });
  const ports = [http(80), http(81)];
  const refused = (ingressHost: string) => refusal({ template: { ports } }, { ingressHost })?.message;
  expect(refused("{{session}}.apps.example")).toContain("ports 80 and 81 would both be web.apps.example");
  expect(refused("apps.example")).toContain("given apps.example");
  expect(refused("{{session}}..{{port}}")).toContain("web..80");
  expect(
    only("Ingress", { template: { ports: [http(80)] } }, { ingressHost: "{{session}}.apps.example" }),
  ).toHaveLength(1);
});

test("what Kubernetes does not take is found by its schemas", () => {
  const [deployment] = translate();
  const bad = { ...deployment, spec: { ...(deployment?.["spec"] as object), replicas: "one" } };
  expect(() => new Deployment(bad as never).validate()).toThrow(/replicas must be integer/);
});
