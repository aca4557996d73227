import { expect, test } from "vitest";
import { checkRemote } from "./check-remote.ts";

const OFF = {
  operators: [],
  commands: [],
  shell: false,
  users: [],
  directories: [],
  environment: [],
  forward: [],
  sessions: [],
  rsync: [],
};

test.each([
  [{}, "ok", "off (policy.remote is empty)"],
  [{ commands: ["*"] }, "warn", "off: policy.remote.operators is empty"],
  [{ operators: ["ann"] }, "warn", "off: nothing is allowed to anybody"],
  [{ operators: ["ann", "bo"], shell: true, rsync: ["/srv:ro"] }, "ok", "shell, rsync for ann, bo"],
  [{ operators: ["*"], forward: ["*"] }, "ok", "forward for everybody whom the hub lets"],
  [{ sessions: ["web"] }, "warn", "off: policy.remote.operators is empty"],
  [{ operators: ["*"], sessions: ["kiosk-*"] }, "ok", "session for everybody whom the hub lets"],
  [{ operators: ["*"], commands: ["*"] }, "warn", "exec for everybody whom the hub lets"],
])("%o is %s: %s", (policy, outcome, found) => {
  expect(checkRemote({ ...OFF, ...policy })).toMatchObject({ outcome, found });
});
