import type { ClusterObject } from "../cluster-api/cluster-answers.ts";
import type { RunEndpoint } from "../run-handle.ts";

export interface ClusterAddresses {
  readonly service: ClusterObject<"Service"> | undefined;
  readonly ingress: ClusterObject<"Ingress"> | undefined;
  /** Of the node on which it runs. */
  readonly hostIp: string | undefined;
}

const INGRESS_PORT = 80;

/** Where a session's ports are reached. Pure. Those that have no address yet are left out. */
export function toClusterEndpoints({ service, ingress, hostIp }: ClusterAddresses): readonly RunEndpoint[] {
  const hosts = new Map(
    (ingress?.spec.rules ?? []).flatMap(({ host, http }) => {
      const number = http?.paths[0]?.backend.service?.port?.number;
      return host === undefined || number === undefined ? [] : [[number, host] as const];
    }),
  );
  return (service?.spec.ports ?? []).flatMap((one): readonly RunEndpoint[] => {
    const { port, nodePort } = one;
    const protocol = one.protocol === "UDP" ? "udp" : "tcp";
    const at = (address: string | undefined, hostPort: number | undefined): readonly RunEndpoint[] =>
      address === undefined || hostPort === undefined ? [] : [{ port, protocol, address, hostPort, isElsewhere: true }];
    const host = protocol === "tcp" ? hosts.get(port) : undefined;
    if (host !== undefined) return at(host, INGRESS_PORT);
    switch (service?.spec.type) {
      case "NodePort":
        return at(hostIp, nodePort);
      case "LoadBalancer": {
        const [outside] = service.status?.loadBalancer?.ingress ?? [];
        return at(outside?.ip ?? outside?.hostname, port);
      }
      default:
        return at(service?.spec.clusterIP, port);
    }
  });
}
