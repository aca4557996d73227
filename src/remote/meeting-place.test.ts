import { expect, it } from "vitest";
import { AppError } from "../base/errors.ts";
import { choosePlace, isLaneToBlame, type MeetingState, ROLES } from "./meeting-place.ts";

type Role = keyof typeof ROLES;

const at = (lane: MeetingState["lane"], call: MeetingState["call"] = "silent", hasBeaten = false): MeetingState => ({
  lane,
  call,
  hasBeaten,
});
const unavailable = new AppError("unavailable", "nobody came");
const unsupported = new AppError("unsupported", "it knows of none");

it.each<[MeetingState["lane"], Record<Role, "lane" | "call" | undefined>]>([
  ["awaited", { operator: undefined, box: undefined, receiver: undefined, sender: undefined }],
  ["sealed", { operator: "lane", box: undefined, receiver: "lane", sender: undefined }],
  ["spoken", { operator: "lane", box: "lane", receiver: "lane", sender: "lane" }],
  ["failed", { operator: "call", box: undefined, receiver: "call", sender: "call" }],
])("speaks, with a lane that is %s, where its role says", (lane, places) => {
  for (const role of Object.keys(ROLES) as Role[]) expect(choosePlace(ROLES[role], at(lane)), role).toBe(places[role]);
});

it.each(["spoken", "over"] as const)("speaks on a call that is %s, whatever became of the lane", (call) => {
  for (const role of Object.values(ROLES)) {
    for (const lane of ["awaited", "sealed", "failed"] as const) expect(choosePlace(role, at(lane, call))).toBe("call");
  }
});

it("stays undecided while the other end only says that it lives", () => {
  for (const lane of ["awaited", "sealed", "failed"] as const) {
    expect(choosePlace(ROLES.box, at(lane, "silent", true))).toBeUndefined();
  }
});

it("blames a lane that failed at the end that decides, and at the other only where there is no such thing", () => {
  const blamed = (role: Role, problem: unknown, call: MeetingState["call"] = "silent") =>
    isLaneToBlame(ROLES[role], at("failed", call), problem);
  for (const role of ["operator", "receiver"] as const) {
    expect([blamed(role, unavailable), blamed(role, unsupported)], role).toEqual([true, true]);
    // It may have failed with the call.
    expect(blamed(role, unavailable, "over"), role).toBe(false);
  }
  for (const role of ["box", "sender"] as const) {
    expect([blamed(role, unavailable), blamed(role, unsupported)], role).toEqual([false, true]);
  }
});

it("blames a lane over which nothing comes although the other end speaks on it, and none that nobody needed", () => {
  for (const role of ["box", "sender"] as const) {
    for (const lane of ["awaited", "sealed", "failed"] as const) {
      expect(isLaneToBlame(ROLES[role], at(lane, "over", true), unavailable), `${role}, ${lane}`).toBe(true);
    }
    expect(isLaneToBlame(ROLES[role], at("sealed", "over"), undefined), role).toBe(false);
  }
  expect(isLaneToBlame(ROLES.receiver, at("awaited", "spoken"), undefined)).toBe(false);
});
