/**
 * Checks the contract of the router: its style, that the generated code is that of today's files, and that nothing breaks who knows
 * `proto/baseline.binpb`. What the baseline is and when it moves: docs/remote.md.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { GENERATED } from "./house.ts";
import { runForeground } from "./run-foreground.ts";

const root = resolve(import.meta.dirname, "..");
const proto = join(root, "proto");
const bin = join(root, "node_modules/.bin");
const problems: string[] = [];

if ((await buf("lint")) !== 0) problems.push("proto: buf lint found what it names above");
if ((await buf("breaking", "--against", "baseline.binpb")) !== 0) {
  problems.push("proto: a program that knows proto/baseline.binpb would break; docs/remote.md says when it may");
}
const fresh = mkdtempSync(join(tmpdir(), "sluice-proto-"));
try {
  const template = {
    version: "v2",
    plugins: [{ local: join(bin, "protoc-gen-es"), out: fresh, opt: generatorOptions() }],
  };
  if ((await buf("generate", "--template", JSON.stringify(template))) !== 0)
    problems.push("proto: cannot be generated");
  else problems.push(...differences(fresh, join(root, GENERATED)));
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
} else {
  console.log("proto: contract and generated code agree, nothing breaks");
}

async function buf(...args: readonly string[]): Promise<number> {
  return runForeground(join(bin, "buf"), args, { cwd: proto });
}

function generatorOptions(): string[] {
  const text = readFileSync(join(proto, "buf.gen.yaml"), "utf8");
  return [...text.matchAll(/^ {6}- (\S+)$/gm)].map(([, option = ""]) => option);
}

function differences(wanted: string, found: string): string[] {
  const filesOf = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const names = new Set([...filesOf(wanted), ...filesOf(found)]);
  return [...names]
    .sort()
    .filter((name) => read(join(wanted, name)) !== read(join(found, name)))
    .map((name) => `${GENERATED}/${name}: is not what proto/ says now; run \`cd proto && npx buf generate .\``);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
