import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AppError } from "../base/errors.ts";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../contract/proto/grpc/health/v1/health_pb.js";
import { RouterService } from "../contract/proto/sluice/router/v1/router_pb.js";
import type { GrpcCall } from "./grpc-call.ts";

export interface HealthService {
  check(call: GrpcCall, request: Uint8Array): void;
  watch(call: GrpcCall, request: Uint8Array): void;
  /** To be called when the router begins to drain. */
  changed(): void;
}

const MAX_WATCHERS = 256;
const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/**
 * The empty name: the process, which serves until it ends. `ready` and the router's own service: new sessions are taken. `draining`:
 * they are not, because the router is about to end.
 */
export function createHealthService(isDraining: () => boolean): HealthService {
  const watchers = new Map<GrpcCall, { readonly service: string; said: HealthCheckResponse_ServingStatus }>();
  const statusOf = (service: string) => {
    switch (service) {
      case "":
        return SERVING;
      case "ready":
      case RouterService.typeName:
        return isDraining() ? NOT_SERVING : SERVING;
      case "draining":
        return isDraining() ? SERVING : NOT_SERVING;
      default:
        return SERVICE_UNKNOWN;
    }
  };
  const say = (call: GrpcCall, status: HealthCheckResponse_ServingStatus) =>
    call.send(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status })));
  return {
    check: (call, request) => {
      const { service } = fromBinary(HealthCheckRequestSchema, request);
      const status = statusOf(service);
      if (status === SERVICE_UNKNOWN) {
        throw new AppError(
          "not-found",
          `service ${service.slice(0, 200)}; allowed: the empty name, ready, draining, ${RouterService.typeName}`,
        );
      }
      say(call, status);
      call.finish();
    },
    watch: (call, request) => {
      if (watchers.size >= MAX_WATCHERS) {
        throw new AppError("exhausted", `${watchers.size} watch the health of this router, as many as may`);
      }
      const { service } = fromBinary(HealthCheckRequestSchema, request);
      const said = statusOf(service);
      watchers.set(call, { service, said });
      call.stream.once("close", () => watchers.delete(call));
      say(call, said);
    },
    changed: () => {
      for (const [call, watcher] of watchers) {
        const status = statusOf(watcher.service);
        if (status === watcher.said) continue;
        watcher.said = status;
        say(call, status);
      }
    },
  };
}
