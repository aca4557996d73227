import { expect, test } from "vitest";
import { chooseContext, contextsPath, formatContexts, NO_CONTEXTS, parseContexts, toHubUrl } from "./contexts.ts";

const KNOWN = {
  current: "home",
  contexts: {
    home: { hub: "http://127.0.0.1:8080", token: "t-home" },
    fleet: { hub: "https://hub.example:8443", token: "t-fleet", ca: "PEM" },
  },
};

test("contexts are read back as they were written", () => {
  expect(parseContexts(formatContexts(KNOWN), "f")).toEqual(KNOWN);
  expect(parseContexts(formatContexts(NO_CONTEXTS), "f")).toEqual(NO_CONTEXTS);
});

test("a current context that is gone is none", () => {
  expect(parseContexts(formatContexts({ ...KNOWN, current: "gone" }), "f").current).toBeUndefined();
});

test.each(["", "{", "[]", '{"version":2,"contexts":{}}', '{"version":1,"contexts":{"a":{"hub":"x","token":""}}}'])(
  "a file that is no list of contexts is named, never guessed at: %s",
  (text) => {
    expect(() => parseContexts(text, "/c.json")).toThrow(/^\/c\.json is not understood/);
  },
);

test.each([
  [{}, undefined, "home"],
  [{ SLUICE_CONTEXT: "fleet" }, undefined, "fleet"],
  [{ SLUICE_CONTEXT: "fleet" }, "home", "home"],
  [{ SLUICE_HUB: "hub.other", SLUICE_HUB_TOKEN: "t", SLUICE_CONTEXT: "fleet" }, undefined, undefined],
  [{ SLUICE_HUB: "hub.other", SLUICE_HUB_TOKEN: "t" }, "fleet", "fleet"],
  [{ SLUICE_HUB: " ", SLUICE_HUB_TOKEN: "" }, undefined, "home"],
])("the flag beats the environment, which beats the current context: %j %s", (env, flag, name) => {
  expect(chooseContext(KNOWN, env, flag)?.name).toBe(name);
});

test("the environment's hub comes with the environment's token and authority", () => {
  const env = { SLUICE_HUB: "hub.other", SLUICE_HUB_TOKEN: "t", SLUICE_HUB_CA: "/ca.pem" };
  expect(chooseContext(NO_CONTEXTS, env, undefined)).toEqual({
    name: undefined,
    hub: "https://hub.other",
    token: "t",
    ca: undefined,
    caFile: "/ca.pem",
  });
});

test("nothing that names a hub is no error here: the caller says what to do", () => {
  expect(chooseContext(NO_CONTEXTS, {}, undefined)).toBeUndefined();
});

test.each([{ SLUICE_HUB: "hub" }, { SLUICE_HUB_TOKEN: "t" }])("half of a login is refused: %j", (env) => {
  expect(() => chooseContext(KNOWN, env, undefined)).toThrow(/both or none/);
});

test("a context that is none is named, with the nearest one", () => {
  expect(() => chooseContext(KNOWN, {}, "fleat")).toThrow(
    '--context: there is no context "fleat"; did you mean fleet?',
  );
});

test.each([
  ["hub.example", "https://hub.example"],
  ["hub.example:8443/", "https://hub.example:8443"],
  ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
  ["https://proxy.example/sluice/", "https://proxy.example/sluice"],
])("%s is the hub at %s", (text, url) => {
  expect(toHubUrl(text, "HUB")).toBe(url);
});

test.each(["ftp://hub", "https://ann:secret@hub", "https://hub/?token=x", "https://", "a b"])(
  "%s is no address of a hub",
  (text) => {
    expect(() => toHubUrl(text, "HUB")).toThrow(/^HUB: .*allowed: https/);
  },
);

test("the file lies in the user's own configuration directory", () => {
  const facts = { hostname: "h", isRoot: false, homeDirectory: "/home/ann", cwd: "/" };
  expect(contextsPath({}, facts)).toBe("/home/ann/.config/sluice/contexts.json");
  expect(contextsPath({ XDG_CONFIG_HOME: "/x" }, facts)).toBe("/x/sluice/contexts.json");
  expect(contextsPath({ XDG_CONFIG_HOME: "relative" }, facts)).toBe("/home/ann/.config/sluice/contexts.json");
});
