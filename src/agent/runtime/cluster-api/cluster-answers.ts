import { z } from "zod";

/** Of the API server's answers what is used here. */

const labels = z.record(z.string(), z.string()).optional();
export const metadataSchema = z.object({
  name: z.string(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  labels,
  annotations: labels,
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
});

const conditionsSchema = z
  .array(
    z.object({
      type: z.string(),
      status: z.string(),
      reason: z.string().optional(),
      message: z.string().optional(),
    }),
  )
  .optional();

const deploymentSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({ replicas: z.int().optional() }),
  status: z.object({ conditions: conditionsSchema }).optional(),
});

const endSchema = z.object({
  exitCode: z.int(),
  signal: z.int().optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  finishedAt: z.string().nullish(),
  containerID: z.string().optional(),
});
const containerStateSchema = z
  .object({
    waiting: z.object({ reason: z.string().optional(), message: z.string().optional() }).nullish(),
    running: z.object({ startedAt: z.string().nullish() }).nullish(),
    terminated: endSchema.nullish(),
  })
  .optional();

const podSchema = z.object({
  metadata: metadataSchema,
  status: z
    .object({
      phase: z.string().optional(),
      hostIP: z.string().optional(),
      reason: z.string().optional(),
      message: z.string().optional(),
      conditions: conditionsSchema,
      containerStatuses: z
        .array(
          z.object({
            name: z.string(),
            ready: z.boolean(),
            restartCount: z.int(),
            containerID: z.string().optional(),
            state: containerStateSchema,
            lastState: containerStateSchema,
          }),
        )
        .optional(),
    })
    .optional(),
});

const serviceSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    type: z.string().optional(),
    clusterIP: z.string().optional(),
    ports: z
      .array(z.object({ port: z.int(), protocol: z.string().optional(), nodePort: z.int().optional() }))
      .optional(),
  }),
  status: z
    .object({
      loadBalancer: z
        .object({
          ingress: z.array(z.object({ ip: z.string().optional(), hostname: z.string().optional() })).optional(),
        })
        .optional(),
    })
    .optional(),
});

const ingressSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    rules: z
      .array(
        z.object({
          host: z.string().optional(),
          http: z
            .object({
              paths: z.array(
                z.object({
                  backend: z.object({
                    service: z.object({ port: z.object({ number: z.int().optional() }).optional() }).optional(),
                  }),
                }),
              ),
            })
            .optional(),
        }),
      )
      .optional(),
  }),
});

const claimSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    resources: z.object({ requests: z.object({ storage: z.string().optional() }).optional() }).optional(),
  }),
});

const secretSchema = z.object({ metadata: metadataSchema });

export const CLUSTER_SCHEMAS = {
  Deployment: deploymentSchema,
  Pod: podSchema,
  Service: serviceSchema,
  Ingress: ingressSchema,
  PersistentVolumeClaim: claimSchema,
  Secret: secretSchema,
} as const;

export type ClusterKind = keyof typeof CLUSTER_SCHEMAS;
export type ClusterObject<Kind extends ClusterKind> = z.output<(typeof CLUSTER_SCHEMAS)[Kind]>;
export type PodObject = ClusterObject<"Pod">;
export type DeploymentObject = ClusterObject<"Deployment">;

export const listSchema = z.object({
  metadata: z.object({ resourceVersion: z.string().optional() }),
  items: z.array(z.unknown()),
});

export const watchEventSchema = z.object({ type: z.string(), object: z.unknown() });

/** In an `ERROR` of a watch, and in the answer to what failed. */
export const failureSchema = z.object({ message: z.string().optional(), code: z.int().optional() });

export const bookmarkSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });

export const versionSchema = z.object({ gitVersion: z.string() });

export const podMetricsSchema = z.object({
  containers: z.array(z.object({ usage: z.object({ cpu: z.string(), memory: z.string() }) })),
});
