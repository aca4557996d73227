import { z } from "zod";

/** Of the engine's answers what is used here. Docker and Podman leave out different things, so little is required. */

export const infoSchema = z.object({ LoggingDriver: z.string().optional() });

const portBindingsSchema = z.record(
  z.string(),
  z.array(z.object({ HostIp: z.string().optional(), HostPort: z.string() })).nullish(),
);

export const inspectSchema = z.object({
  Id: z.string(),
  Name: z.string(),
  /** Of the image that it was made of. */
  Image: z.string().optional(),
  State: z.object({
    Status: z.string(),
    Running: z.boolean(),
    Paused: z.boolean(),
    Dead: z.boolean().optional(),
    OOMKilled: z.boolean().optional(),
    Pid: z.int().optional(),
    ExitCode: z.int().optional(),
    /** Why its last start failed. */
    Error: z.string().optional(),
    StartedAt: z.string().optional(),
    FinishedAt: z.string().optional(),
  }),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }),
  HostConfig: z.object({
    NanoCpus: z.number().optional(),
    Memory: z.number().optional(),
    NetworkMode: z.string().optional(),
  }),
  NetworkSettings: z
    .object({
      Ports: portBindingsSchema.nullish(),
      Networks: z.record(z.string(), z.object({ NetworkID: z.string().optional() }).nullish()).nullish(),
    })
    .optional(),
});
export type ContainerDetails = z.output<typeof inspectSchema>;

export const createdSchema = z.object({ Id: z.string() });

const labels = z.record(z.string(), z.string()).nullish();
export const containersSchema = z.array(z.object({ Id: z.string(), Labels: labels }));
export const networksSchema = z.array(z.object({ Id: z.string(), Name: z.string(), Labels: labels }));
export type EngineNetwork = z.output<typeof networksSchema>[number];

const volumeSchema = z.object({ Name: z.string(), Labels: labels });
export const volumesSchema = z.object({ Volumes: z.array(volumeSchema).nullish() });
export type EngineVolume = z.output<typeof volumeSchema>;
export const createdVolumeSchema = volumeSchema;

export const statsSchema = z.object({
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number() }) }),
  memory_stats: z.object({
    usage: z.number().optional(),
    stats: z.record(z.string(), z.number()).nullish(),
  }),
});

export const eventSchema = z.object({
  Type: z.string().optional(),
  Action: z.string().optional(),
  Actor: z.object({ ID: z.string() }).optional(),
});

export const pullLineSchema = z.object({
  id: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).nullish(),
});
