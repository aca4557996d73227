import { expect, test } from "vitest";
import { AppError } from "../../../base/errors.ts";
import { parseKubeconfig } from "./parse-kubeconfig.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const files: Readonly<Record<string, string>> = {
  "/etc/k/ca.pem": "CA",
  "/etc/k/cert.pem": "CERT",
  "/etc/k/key.pem": "KEY",
  "/run/token": "fresh-token\n",
};

function config(cluster: string, user: string, context = "one"): string {
  return `
current-context: ${context}
contexts: [{name: one, context: {cluster: c, user: u, namespace: ignored}}]
clusters: [{name: c, cluster: {${cluster}}}]
users: [{name: u, user: {${user}}}]
`;
}

function parse(text: string) {
  return parseKubeconfig(text, "/etc/k/config", (path) => {
    const found = files[path];
    if (found === undefined) throw new AppError("unavailable", `${path}: not there`);
    return found;
  });
}
const SERVER = "server: https://10.0.0.1:6443/prefix";

test("what signs in is read from files beside it, from files by their path, and from the text itself", () => {
  expect(parse(config(`${SERVER}, certificate-authority: ca.pem`, "tokenFile: /run/token"))).toEqual({
    server: "https://10.0.0.1:6443/prefix",
    ca: "CA",
    token: "fresh-token",
    certificate: undefined,
  });
  const data = `client-certificate-data: ${base64("C2")}, client-key: key.pem`;
  expect(parse(config(`${SERVER}, certificate-authority-data: ${base64("CA2")}`, data))).toEqual({
    server: "https://10.0.0.1:6443/prefix",
    ca: "CA2",
    token: undefined,
    certificate: { cert: "C2", key: "KEY" },
  });
});

test.each([
  ["a server without TLS", config("server: http://10.0.0.1", "token: s3cret"), "server http://10.0.0.1"],
  ["no look at its certificate", config(`${SERVER}, insecure-skip-tls-verify: true`, "token: s3cret"), "insecure-skip"],
  ["another name for it", config(`${SERVER}, tls-server-name: x`, "token: s3cret"), "tls-server-name is set"],
  ["a program that signs in", config(SERVER, "exec: {command: aws}"), "signs in by a program or a password"],
  ["nobody", config(SERVER, "{}".slice(1, 1)), "user u shows nothing"],
  ["half a certificate", config(SERVER, "client-certificate: cert.pem"), "a client certificate without its key"],
  ["no such context", config(SERVER, "token: s3cret", "two"), "current-context two is none"],
  [
    "a file that is not there",
    config(`${SERVER}, certificate-authority: no.pem`, "token: s3cret"),
    "/etc/k/no.pem: not there",
  ],
  ["no YAML", "current-context: [s3cret", "/etc/k/config: is not YAML"],
  ["something else", "token: s3cret", "/etc/k/config: current-context"],
])("%s is refused with its place, and no secret is repeated", (_what, text, message) => {
  expect(() => parse(text)).toThrow(message);
  expect(() => parse(text)).not.toThrow("s3cret");
});
