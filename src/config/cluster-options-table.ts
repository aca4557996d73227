import { option, unsetOption } from "./agent-option.ts";
import { clusterNameValue, clusterSubdomainValue, ingressHostValue } from "./cluster-names.ts";
import { choiceValue, pathValue } from "./option-value.ts";

/** Of the agent's options those for sessions in a Kubernetes cluster. */
export const CLUSTER_OPTIONS = {
  "kubernetes.kubeconfig": unsetOption(pathValue(), {
    help: "By which a cluster is asked. Without it: the service account of the pod that the agent runs in.",
  }),
  "kubernetes.namespace": option(clusterNameValue(), "default", {
    help: "Where in the cluster everything of this box's sessions is made. It must be there.",
  }),
  "kubernetes.service": option(choiceValue(["cluster-ip", "node-port", "load-balancer"]), "cluster-ip", {
    help: "Who reaches the ports of sessions in the cluster: who is inside it, who reaches a node, or who reaches its load balancer.",
  }),
  "kubernetes.ingressHost": unsetOption(ingressHostValue(), {
    help: "Host under which ports of the scheme `http` are published by an Ingress. Without it none is.",
  }),
  "kubernetes.ingressClass": unsetOption(clusterNameValue(), {
    help: "Who publishes them. Without it: the cluster's default.",
  }),
  "kubernetes.storageClass": unsetOption(clusterSubdomainValue(), {
    help: "Of volumes in the cluster. Without it: the cluster's default.",
  }),
} as const;
