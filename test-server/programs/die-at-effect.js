/**
 * Preloaded into an agent: counts what it does to the world (files of its state and run directories that it makes, writes,
 * renames, links and removes; processes that it starts; signals that it sends), writes each down in `EFFECTS_FILE`, and
 * ends the agent with SIGKILL at the instant before the one of number `DIE_AT_EFFECT`, or before the first that matches
 * `DIE_BEFORE` once one that matches `DIE_AFTER` was seen. Plain JavaScript, so that Node need
 * not carry a compiler into the agent under test. Logs are no state and do not count.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { appendFileSync } = fs;
const kill = process.kill.bind(process);
const dieAt = Number(process.env["DIE_AT_EFFECT"]);
const record = process.env["EFFECTS_FILE"] ?? "";
const roots = (process.env["EFFECT_ROOTS"] ?? "").split(":");
const dieAfter = new RegExp(process.env["DIE_AFTER"] ?? "");
const dieBefore = process.env["DIE_BEFORE"] === undefined ? undefined : new RegExp(process.env["DIE_BEFORE"]);
let count = 0;
let isArmed = false;

const effect = (name, what) => {
  count++;
  const line = `${count} ${name} ${what}`;
  appendFileSync(record, `${line}\n`);
  if (count === dieAt || (isArmed && dieBefore?.test(line))) kill(process.pid, "SIGKILL");
  isArmed ||= dieAfter.test(line);
};

const isState = (path) =>
  typeof path === "string" && roots.some((root) => path.startsWith(root)) && !path.includes("/logs/");

const wrap = (owner, name, isEffect) => {
  const real = owner[name];
  owner[name] = function (...given) {
    if (isEffect(...given)) effect(name, given[0]);
    return real.apply(this, given);
  };
};

const WRITES = fs.constants.O_WRONLY | fs.constants.O_RDWR | fs.constants.O_CREAT;
const opensForWriting = (path, flags) =>
  isState(path) && (typeof flags === "number" ? (flags & WRITES) !== 0 : /[wa+]/.test(flags ?? "r"));

const PATHS = ["rename", "link", "unlink", "rm", "rmdir", "mkdir", "writeFile", "appendFile", "truncate"];
for (const name of PATHS) {
  wrap(fs, `${name}Sync`, isState);
  wrap(fs, name, isState);
  wrap(fs.promises, name, isState);
}
wrap(fs, "openSync", opensForWriting);
wrap(fs.promises, "open", opensForWriting);
wrap(childProcess, "spawn", () => true);
wrap(process, "kill", (_pid, signal) => signal !== 0);

// What is written through a handle: its class is only to be had from one.
const handle = await fs.promises.open(record, "a");
wrap(Object.getPrototypeOf(handle), "writeFile", () => true);
await handle.close();
syncBuiltinESMExports();
