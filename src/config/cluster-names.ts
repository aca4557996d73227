import { z } from "zod";
import { type OptionValue, schemaValue } from "./option-value.ts";

/** Names as Kubernetes takes them. */

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;
const INGRESS_HOST = /^(?=.*\{\{session\}\})(?:[a-z0-9.-]|\{\{(?:session|port)\}\}){1,253}$/;

/** Of a namespace, and of most else. */
export function clusterNameValue(): OptionValue<string> {
  const allowed = "1 to 63 small letters, digits or dashes, no dash at either end";
  return schemaValue(z.string().regex(LABEL), allowed, "name");
}

export function clusterSubdomainValue(): OptionValue<string> {
  const allowed = "small letters, digits, dots or dashes, no dot or dash at either end";
  return schemaValue(z.string().regex(SUBDOMAIN), allowed, "name");
}

/** A host for each session. */
export function ingressHostValue(): OptionValue<string> {
  const allowed = "a name with {{session}} in it, such as {{port}}-{{session}}.apps.example";
  return schemaValue(z.string().regex(INGRESS_HOST), allowed, "template");
}
