import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RemoteOperation, remoteOperationSchema } from "../../contract/remote/operation.ts";
import type { BoxUser } from "../../contract/remote/remote-grant.ts";
import type { RemotePolicy } from "../../contract/remote/remote-policy.ts";
import { type BoxFacts, parseUser, systemProgramDisk } from "./box-facts.ts";
import { judgeOffer } from "./judge-offer.ts";

const CLOSED: RemotePolicy = {
  operators: ["ann"],
  commands: [],
  shell: false,
  users: [],
  directories: [],
  environment: [],
  forward: [],
  sessions: [],
  rsync: [],
};

let root: string;
let box: BoxFacts;
beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "sluice-judge-")));
  for (const directory of ["home", "bin", "evil", "data/sub", "inbox", "secret"]) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  for (const name of ["bin/good", "bin/busybox", "evil/good", "evil/other"]) {
    writeFileSync(join(root, name), "#!/bin/sh\n");
    chmodSync(join(root, name), 0o755);
  }
  writeFileSync(join(root, "bin/plain"), "no program");
  symlinkSync(join(root, "bin/busybox"), join(root, "bin/ls"));
  symlinkSync(join(root, "bin/busybox"), join(root, "bin/sh"));
  symlinkSync(join(root, "bin/good"), join(root, "evil/renamed"));
  mkdirSync(join(root, "links"));
  symlinkSync(join(root, "bin/good"), join(root, "links/good"));
  symlinkSync(join(root, "secret"), join(root, "data/out"));
  symlinkSync("/nowhere/at/all", join(root, "inbox/dangling"));
  symlinkSync(join(root, "data"), join(root, "alias"));
  const self: BoxUser = {
    name: "sluice",
    uid: 1,
    gid: 1,
    home: join(root, "home"),
    shell: "/usr/sbin/nologin",
    isOther: false,
  };
  box = {
    disk: systemProgramDisk,
    isRoot: true,
    self,
    userOf: async (name) => (name === "ghost" ? undefined : { ...self, name, uid: 5, isOther: true, shell: "/bin/sh" }),
  };
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** `$` stands for the test's directory. */
const here = (text: string) => text.replaceAll("$", root);
async function judge(
  operation: object,
  policy: Partial<RemotePolicy> = {},
  operator = "ann",
  facts: Partial<BoxFacts> = {},
) {
  const parsed: RemoteOperation = remoteOperationSchema.parse(JSON.parse(here(JSON.stringify(operation))));
  const rules = { ...CLOSED, ...(JSON.parse(here(JSON.stringify(policy))) as Partial<RemotePolicy>) };
  try {
    return await judgeOffer({ operator, operation: parsed }, rules, { ...box, ...facts });
  } catch (thrown) {
    if (!(thrown instanceof Error) || !("code" in thrown)) throw thrown;
    return `${String(thrown.code)} ${thrown.message.split(":")[0] ?? ""}`;
  }
}
const exec = (argv: string[], extra: object = {}) => ({ kind: "exec", argv, ...extra });

describe("who", () => {
  test.each([
    [
      "off until somebody is named",
      { operators: [], commands: ["*"] },
      "ann",
      "refused remote access is off on this box; allow it in the box's configuration (policy.remote)",
    ],
    ["another name", { commands: ["*"] }, "bob", "refused policy.remote.operators"],
    ["a name in other letters", { commands: ["*"] }, "Ann", "refused policy.remote.operators"],
    ["a star that came from the operator", { commands: ["*"] }, "*", "refused policy.remote.operators"],
  ])("%s", async (_name, policy, operator, expected) => {
    expect(await judge(exec(["/bin/true"]), policy, operator)).toBe(expected);
  });
});

describe("programs", () => {
  const policy = { commands: ["$/bin/good", "$/bin/ls"] };
  test.each([
    ["the path itself", ["$/bin/good"], "$/bin/good"],
    ["a way round", ["$/evil/../bin/./good"], "$/bin/good"],
    ["a link to it of the same name", ["$/links/good"], "$/bin/good"],
    ["a relative path, seen from the home", ["../bin/good"], "$/bin/good"],
  ])("allowed: %s", async (_name, argv, file) => {
    expect(await judge(exec(argv), policy)).toMatchObject({ launch: { file: here(file), args: [] } });
  });
  test.each([
    ["another program", ["$/evil/other"]],
    ["the same name elsewhere", ["$/evil/good"]],
    ["a link under another name", ["$/evil/renamed"]],
    ["another name of a program that goes by its name", ["$/bin/sh"]],
    ["that program itself", ["$/bin/busybox"]],
    ["no program", ["$/bin/plain"]],
    ["a bare name that only another PATH knows", ["good"]],
    ["the star as a program", ["*"]],
    ["a name with a space", ["$/bin/good "]],
    ["a directory", ["$/bin"]],
    ["env as a way in", ["env", "$/bin/good"]],
  ])("refused: %s", async (_name, argv) => {
    expect(await judge(exec(argv), policy)).toBe("refused policy.remote.commands");
  });
  test("a star allows all, and a bare name is looked up on the box alone", async () => {
    expect(await judge(exec(["true", "-x"]), { commands: ["*"] })).toMatchObject({
      launch: { file: expect.stringMatching(/^\/(?:usr\/)?bin\/true$/), argv0: "true", args: ["-x"] },
      environment: ["*"],
    });
  });
  test("none, when none is allowed", async () => {
    expect(await judge(exec(["/bin/true"]))).toBe("refused policy.remote.commands");
    expect(await judge({ kind: "attach", session: "s" })).toBe("refused policy.remote.commands");
  });
});

describe("places and users", () => {
  const policy = { commands: ["*"], directories: ["$/data"], users: ["bob"] };
  test.each([
    ["the home by default", {}, "$/home"],
    ["the home by name", { cwd: "$/home/" }, "$/home"],
    ["below a root", { cwd: "$/data/sub" }, "$/data/sub"],
    ["by another name for it", { cwd: "$/alias/sub" }, "$/data/sub"],
  ])("allowed: %s", async (_name, extra, cwd) => {
    expect(await judge(exec(["true"], extra), policy)).toMatchObject({ cwd: here(cwd) });
  });
  test.each([
    ["beside the root", "$/secret"],
    ["out by a link", "$/data/out"],
    ["out by dots", "$/data/sub/../../secret"],
    ["a longer name", "$/data2"],
    ["what is not there", "$/data/none"],
  ])("refused: %s", async (_name, cwd) => {
    expect(await judge(exec(["true"], { cwd }), policy)).toBe("refused policy.remote.directories");
  });

  test("users beside the agent's own must be named, be there, and need root", async () => {
    expect(await judge(exec(["true"], { user: "bob" }), policy)).toMatchObject({
      user: { name: "bob", isOther: true },
    });
    expect(await judge(exec(["true"], { user: "sluice" }), policy)).toMatchObject({ user: { isOther: false } });
    expect(await judge(exec(["true"], { user: "root" }), policy)).toBe("refused policy.remote.users");
    expect(await judge(exec(["true"], { user: "ghost" }), { ...policy, users: ["*"] })).toBe("not-found user");
    expect(await judge(exec(["true"], { user: "bob" }), policy, "ann", { isRoot: false })).toBe("unsupported user");
  });

  test("a shell is allowed by itself, and is the user's own", async () => {
    expect(await judge({ kind: "shell" }, { commands: ["*"] })).toBe("refused policy.remote.shell");
    expect(await judge({ kind: "shell" }, { shell: true })).toMatchObject({
      launch: { file: "/bin/bash", argv0: "-bash", args: [] },
      asked: { argv: [], pty: true },
    });
    const places = { shell: true, directories: ["$/data"] };
    expect(await judge({ kind: "shell", cwd: "$/data/sub" }, places)).toMatchObject({
      asked: { argv: [], pty: true, cwd: here("$/data/sub") },
      cwd: here("$/data/sub"),
    });
    expect(await judge({ kind: "shell", cwd: "$/secret" }, places)).toBe("refused policy.remote.directories");
    const locked = async (name: string) => ({ ...box.self, name, isOther: true });
    expect(await judge({ kind: "shell", user: "bob" }, { shell: true, users: ["*"] }, "ann", { userOf: locked })).toBe(
      "refused user",
    );
  });

  test("a line of the list of users is read only when it is that user's", () => {
    expect(parseUser("bob:x:1001:1002:Bob,,,:/home/bob:/bin/zsh\n", "bob")).toMatchObject({ uid: 1001, gid: 1002 });
    expect(parseUser("root:x:0:0::/root:/bin/sh", "0")).toBeUndefined();
    expect(parseUser("", "bob")).toBeUndefined();
  });
});

describe("targets", () => {
  const target = (host: string, from = 80, to = from, protocol = "tcp") => ({
    kind: "forward",
    targets: [{ protocol, host, from, to }],
  });
  test.each([
    ["127.0.0.1:80", target("127.0.0.1"), { host: "127.0.0.1", reach: "any" }],
    ["127.0.0.1:80", target("::ffff:127.0.0.1"), { host: "127.0.0.1", reach: "any" }],
    ["127.0.0.1:80", target("::ffff:7f00:1"), { host: "127.0.0.1", reach: "any" }],
    ["[fd00::1]:80", target("FD00:0:0::1"), { host: "fd00::1", reach: "any" }],
    ["camera.lan:500-600", target("Camera.LAN.", 550, 560), { host: "camera.lan", reach: "named" }],
    ["127.0.0.1:80", target("localhost"), { host: "localhost", reach: "named", addresses: ["127.0.0.1"] }],
    ["localhost:80", target("::1"), { host: "::1", reach: "any" }],
    ["localhost:80", target("LocalHost"), { host: "localhost", reach: "named" }],
    ["*:80", target("camera.lan"), { host: "camera.lan", reach: "any" }],
    ["*", target("10.0.0.1", 1, 65_535, "udp"), { protocol: "udp", reach: "any" }],
    ["10.0.0.1:53/udp", target("10.0.0.1", 53, 53, "udp"), { protocol: "udp" }],
    ["10.0.0.1:*", target("10.0.0.1", 1, 65_535), { from: 1, to: 65_535 }],
  ])("%s allows %o", async (rule, operation, expected) => {
    expect(await judge(operation, { forward: [rule] })).toMatchObject({ targets: [expected] });
  });
  test.each([
    [[], target("127.0.0.1")],
    [["127.0.0.1:80"], target("127.0.0.1", 81)],
    [["127.0.0.1:80-90"], target("127.0.0.1", 80, 91)],
    [["127.0.0.1:80", "127.0.0.1:81"], target("127.0.0.1", 80, 81)],
    [["127.0.0.1:80"], target("127.0.0.2")],
    [["127.0.0.2:80"], target("localhost")],
    [["localhost:80"], target("127.0.0.2")],
    [["localhost:80"], target("localhost.evil.example")],
    [["camera.lan:80"], target("127.0.0.1")],
    [["camera.lan:80"], target("evil.camera.lan")],
    [["lan:80"], target("camera.lan")],
    [["10.0.0.1:53/udp"], target("10.0.0.1", 53)],
    [["[::1]:80"], target("::2")],
  ])("%o refuses %o", async (forward, operation) => {
    expect(await judge(operation, { forward })).toBe("refused policy.remote.forward");
  });
  test.each([
    "2130706433",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "fe80::1%eth0",
    "a b",
    "-x",
    "a..b",
    "[::1]",
  ])("%s is a spelling that no rule is compared with, not even a star", async (host) => {
    expect(await judge(target(host), { forward: ["*"] })).toBe("refused targets[0].host");
  });
});

describe("rsync", () => {
  test("another user of the box runs it where that user is allowed, and paths begin at that user's home", async () => {
    const operation = { kind: "rsync", argv: ["rsync", "--server", "--sender", "-re.", ".", "sub"], user: "bob" };
    const users = { rsync: ["$/data:ro"], users: ["bob"] };
    const box = {
      disk: { ...systemProgramDisk, isProgram: (path: string) => path === "/usr/bin/rsync" },
      userOf: async (name: string) => ({
        ...{ name, uid: 5, gid: 5, home: join(root, "data"), shell: "/bin/sh", isOther: true },
      }),
    };
    expect(await judge(operation, users, "ann", box)).toMatchObject({
      asked: { user: "bob" },
      user: { name: "bob", isOther: true },
      launch: { args: ["--server", "--sender", "-re.", ".", join(root, "data/sub")] },
    });
    expect(await judge(operation, { ...users, users: [] }, "ann", box)).toBe("refused policy.remote.users");
    expect(await judge(operation, users, "ann", { ...box, isRoot: false })).toBe("unsupported user");
  });
  const policy = { rsync: ["$/data:ro", "$/inbox:rw"] };
  const rsync = (...rest: string[]) => ({ kind: "rsync", argv: ["rsync", "--server", ...rest] });
  const withRsync = { disk: { ...systemProgramDisk, isProgram: (path: string) => path === "/usr/bin/rsync" } };
  test.each([
    ["reading", rsync("--sender", "-vlogDtpre.iLsfxCIvu", ".", "$/data/sub/")],
    ["reading what may be written", rsync("--sender", "-e.LsfxCIvu", "--bwlimit=100", ".", "$/inbox")],
    ["several at once", rsync("--sender", "-lre.iLsfxCIvu", ".", "$/data/sub", "$/data/new")],
    ["writing", rsync("-vlogDtprze.iLsfxCIvu", "--delete", "--partial-dir=.rsync-partial", ".", "$/inbox/new/er")],
    ["comparing with what is there", rsync("-re.iLsfxCIvu", "--link-dest=$/inbox/last", ".", "$/inbox/next")],
  ])("allowed: %s", async (_name, operation) => {
    const granted = await judge(operation, policy, "ann", withRsync);
    expect(granted).toMatchObject({ launch: { file: "/usr/bin/rsync", argv0: "rsync" }, environment: [] });
    const { argv } = JSON.parse(here(JSON.stringify(operation)));
    expect(granted).toMatchObject({ launch: { args: argv.slice(1) } });
  });
  test.each([
    ["nothing allowed", rsync("--sender", "-r", ".", "$/data"), { rsync: [] }],
    ["writing where only reading is", rsync("-re.iLsfxCIvu", ".", "$/data/sub")],
    ["removing what is only read", rsync("--sender", "-re.", "--remove-source-files", ".", "$/data")],
    ["beside the roots", rsync("--sender", "-re.", ".", "$/secret")],
    ["the root of the roots", rsync("--sender", "-re.", ".", "$")],
    ["a longer name", rsync("--sender", "-re.", ".", "$/data2")],
    ["out by dots", rsync("--sender", "-re.", ".", "$/data/../secret")],
    ["out by dots at the end", rsync("-re.", ".", "$/inbox/new/..")],
    ["out by a link", rsync("--sender", "-re.", ".", "$/data/out/file")],
    ["through a link that leads nowhere", rsync("-re.", ".", "$/inbox/dangling/file")],
    ["one good and one bad path", rsync("--sender", "-re.", ".", "$/data/sub", "/etc/passwd")],
    ["no path", rsync("--sender", "-re.", ".")],
    ["an empty path", rsync("--sender", "-re.", ".", "")],
    ["no dot", rsync("--sender", "-re.", "$/data")],
    ["another shell for it", rsync("--sender", "-e", "sh -c id", ".", "$/data")],
    ["another shell in one word", rsync("--sender", "-esh", ".", "$/data")],
    ["another shell by its long name", rsync("--sender", "--rsh=sh -c id", ".", "$/data")],
    ["another program", rsync("--sender", "--rsync-path=/bin/sh", ".", "$/data")],
    ["a daemon", rsync("--daemon", ".", "$/data")],
    ["a log anywhere", rsync("--sender", "--log-file=/etc/cron.d/x", ".", "$/data")],
    ["hidden arguments", rsync("--sender", "-rse.iLsfxCIvu", ".", "$/data")],
    ["following links", rsync("--sender", "-rLe.iLsfxCIvu", ".", "$/data")],
    ["writing through linked directories", rsync("-rKe.iLsfxCIvu", ".", "$/inbox")],
    ["links that lead out", rsync("--sender", "-re.", "--copy-unsafe-links", ".", "$/data")],
    ["devices", rsync("-re.", "--write-devices", ".", "$/inbox")],
    ["a batch that is written", rsync("--sender", "-re.", "--only-write-batch=/tmp/x", ".", "$/data")],
    ["a list of names that nobody has judged", rsync("--sender", "-re.", "--files-from=-", "--from0", ".", "$/data")],
    ["a list of names from a file", rsync("--sender", "-re.", "--files-from=/etc/passwd", ".", "$/data")],
    ["a backup elsewhere", rsync("-re.", "--backup-dir=/etc", ".", "$/inbox")],
    ["a backup elsewhere by dots", rsync("-re.", "--backup-dir=../../etc", ".", "$/inbox")],
    ["a temporary place elsewhere", rsync("-re.", "--temp-dir=/etc", ".", "$/inbox")],
    ["a value in a word of its own", rsync("-re.", "--backup-dir", "/etc", ".", "$/inbox")],
    ["an option from the prototype", rsync("-re.", "--constructor", ".", "$/inbox")],
    ["a client", { kind: "rsync", argv: ["rsync", "-a", "/etc", "elsewhere:/"] }],
    ["a path for the program", { kind: "rsync", argv: ["/tmp/rsync", "--server", ".", "$/inbox"] }],
  ])("refused: %s", async (_name: string, operation: object, rules: Partial<RemotePolicy> = policy) => {
    expect(await judge(operation, rules, "ann", withRsync)).toMatch(/^refused /);
  });
});

describe("sessions", () => {
  const operation = { kind: "session", session: "kiosk-1", ports: [{ port: 80, protocol: "tcp" }] };
  test.each([[["kiosk-1"]], [["other", "kiosk-*"]], [["*"]]])("%o allows it", async (sessions) => {
    expect(await judge(operation, { sessions })).toEqual(operation);
  });
  test.each([
    ["nothing is allowed", {}, "refused policy.remote.sessions"],
    ["another one is", { sessions: ["kiosk", "kiosk-1x", "web*"] }, "refused policy.remote.sessions"],
    ["forwards are", { forward: ["*"] }, "refused policy.remote.sessions"],
  ])("it is refused where %s", async (_name, policy, expected) => {
    expect(await judge(operation, policy)).toBe(expected);
  });
  test("ports of sessions open nothing else of the box", async () => {
    const forward = { kind: "forward", targets: [{ protocol: "tcp", host: "localhost", from: 80, to: 80 }] };
    expect(await judge(forward, { sessions: ["*"] })).toBe("refused policy.remote.forward");
  });
});
