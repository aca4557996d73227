import { expect, test } from "vitest";
import { resolveUplink, type UplinkFacts } from "./resolve-uplink.ts";

interface Given {
  readonly endpoint?: string;
  readonly report?: string;
  readonly token?: string;
  readonly id?: string;
  readonly facts?: Partial<UplinkFacts>;
}

function resolve({ endpoint, report, token, id, facts = {} }: Given) {
  const options = {
    box: { id: id ?? "host-name", isIdGiven: id !== undefined, name: undefined, labels: {} },
    link: {
      endpoint,
      token,
      tokenFile: undefined,
      caFile: undefined,
      enrolmentToken: undefined,
      enrolmentTokenFile: undefined,
      keyRotationMs: 0,
      retryDelayMs: 1,
      maxRetries: 1,
      connectTimeoutMs: 1,
      replayWindowMs: 0,
    },
    report: { endpoint: report, intervalMs: 1 },
  };
  return resolveUplink(options, { identity: undefined, enrolmentHub: undefined, ...facts });
}

const IDENTITY = { hub: "https://hub.test:8443/", boxId: "north-1" };

test.each<[string, Given, Partial<ReturnType<typeof resolve>>]>([
  ["nothing is configured", {}, { endpoint: undefined, hub: undefined, usesOwnKey: false }],
  [
    "a plain server stays as it stands",
    { endpoint: "http://server.test:3000/events" },
    { endpoint: "http://server.test:3000/events", reportEndpoint: undefined, usesOwnKey: false },
  ],
  [
    "a plain server at its root, which nothing opens, stays as it stands",
    { endpoint: "http://server.test:3000/" },
    { endpoint: "http://server.test:3000/", usesOwnKey: false },
  ],
  [
    "a plain server never gets the key of a hub",
    { endpoint: "http://server.test:3000/events", facts: { identity: IDENTITY } },
    { endpoint: "http://server.test:3000/events", usesOwnKey: false },
  ],
  [
    "an enrolled box needs no configuration",
    { facts: { identity: IDENTITY } },
    {
      boxId: "north-1",
      endpoint: "https://hub.test:8443/v1/boxes/north-1/events",
      reportEndpoint: "https://hub.test:8443/v1/boxes/north-1/report",
      usesOwnKey: true,
    },
  ],
  [
    "a box that is to enrol goes where its token says, by the name it has",
    { id: "gate", facts: { enrolmentHub: "http://hub.test:8443" } },
    { boxId: "gate", endpoint: "http://hub.test:8443/v1/boxes/gate/events", usesOwnKey: true },
  ],
  [
    "the configuration says where the hub is now",
    { endpoint: "https://other.test/", facts: { identity: IDENTITY } },
    { endpoint: "https://other.test/v1/boxes/north-1/events", usesOwnKey: true },
  ],
  [
    "a token of the configuration opens a hub that is named by its base",
    { endpoint: "https://hub.test:8443", token: "t", id: "gate" },
    { boxId: "gate", endpoint: "https://hub.test:8443/v1/boxes/gate/events", usesOwnKey: false },
  ],
  [
    "a whole address of the box's own events takes its own key",
    { endpoint: "https://hub.test:8443/v1/boxes/north-1/events", facts: { identity: IDENTITY } },
    { endpoint: "https://hub.test:8443/v1/boxes/north-1/events", hub: "https://hub.test:8443/", usesOwnKey: true },
  ],
  [
    "another box's address does not",
    { endpoint: "https://hub.test:8443/v1/boxes/south-1/events", facts: { identity: IDENTITY } },
    { usesOwnKey: false },
  ],
  [
    "a report address that is given stays",
    { report: "https://else.test/r", facts: { identity: IDENTITY } },
    { reportEndpoint: "https://else.test/r" },
  ],
])("%s", (_, given, wanted) => {
  expect(resolve(given)).toMatchObject(wanted);
});

test("a configuration that names another box than the enrolled one is refused, and says what to do", () => {
  expect(() => resolve({ id: "south-1", facts: { identity: IDENTITY } })).toThrow(
    "box.id: given south-1; this state directory is enrolled as north-1. Take box.id out, or enrol again: sluice enrol TOKEN --id south-1",
  );
});
