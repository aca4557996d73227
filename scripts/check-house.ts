/** Checks who imports whom, where packages live, file sizes and names, against the table in `house.ts`. */
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { FOLDERS, FORBIDDEN_NAMES, GENERATED, MAX_LINES, PACKAGE_HOMES, RESERVED } from "./house.ts";

const root = resolve(import.meta.dirname, "..");
const problems: string[] = [];

const files = ["src", "test-server", "scripts", "public"]
  .flatMap((folder) => listFiles(folder))
  .filter((file) => !isUnder(file, GENERATED))
  .sort();
const graph = new Map<string, string[]>();

for (const file of files) {
  const text = readFileSync(join(root, file), "utf8");
  const isTest = isTestFile(file);
  checkSize(file, text, isTest);
  if (FORBIDDEN_NAMES.test(file)) problems.push(`${file}: name it after the one thing inside, not after a drawer`);
  const imports = importsOf(text);
  graph.set(
    file,
    imports.flatMap(({ specifier }) => (specifier.startsWith(".") ? [normalize(join(dirname(file), specifier))] : [])),
  );
  for (const { specifier, isTypeOnly } of imports) {
    if (specifier.startsWith(".")) checkOwnImport(file, specifier, isTypeOnly, isTest);
    else checkPackage(file, specifier, isTest);
  }
  if (file.startsWith("src/") && !isTest) checkReserved(file, text);
}
for (const cycle of findCycles(graph)) problems.push(`import cycle: ${cycle.join(" → ")}`);

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
} else {
  console.log(`house: ${files.length} files, no problem`);
}

function listFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((entry) => entry.isFile() && /\.(?:ts|js)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** Tests, and the fakes and contract suites that only tests use. */
function isTestFile(file: string): boolean {
  return /\.(?:test|fake|contract)\.ts$/.test(file);
}

function importsOf(text: string): { specifier: string; isTypeOnly: boolean }[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;
  return [...text.matchAll(pattern)].flatMap(([, type, fromSpecifier, dynamicSpecifier]) => {
    const specifier = fromSpecifier ?? dynamicSpecifier;
    return specifier === undefined ? [] : [{ specifier, isTypeOnly: type !== undefined }];
  });
}

function checkSize(file: string, text: string, isTest: boolean): void {
  const lines = text.split("\n").length - 1;
  const limit = isTest ? MAX_LINES.test : MAX_LINES.source;
  if (lines > limit) problems.push(`${file}: ${lines} lines; the limit is ${limit}`);
}

function isUnder(file: string, folder: string): boolean {
  return file === folder || file.startsWith(`${folder}/`);
}

function checkOwnImport(file: string, specifier: string, isTypeOnly: boolean, isTest: boolean): void {
  const target = normalize(join(dirname(file), specifier));
  const rule = FOLDERS.find(({ folder }) => isUnder(file, folder));
  if (rule === undefined) {
    problems.push(`${file}: belongs to no folder of the house (scripts/house.ts)`);
    return;
  }
  if (isTest) return;
  if (isTestFile(target) && !isUnder(file, "test-server")) problems.push(`${file}: imports the test file ${target}`);
  const allowed = [rule.folder, ...rule.mayImport, ...(isTypeOnly ? (rule.mayImportTypesOf ?? []) : [])];
  if (!allowed.some((folder) => isUnder(target, folder))) {
    problems.push(
      `${file}: must not import ${target} (${rule.folder} may import ${rule.mayImport.join(", ") || "nothing of ours"})`,
    );
  }
}

function checkPackage(file: string, specifier: string, isTest: boolean): void {
  const node = specifier.replace(/^node:/, "");
  if (specifier.startsWith("node:") || builtinModules.includes(node)) {
    const rule = FOLDERS.find(({ folder }) => isUnder(file, folder));
    if (!isTest && rule?.neverNode?.includes(node)) problems.push(`${file}: must not use ${specifier}`);
    return;
  }
  if (isTest || !file.startsWith("src/")) return;
  const name = specifier.startsWith("@")
    ? specifier.split("/").slice(0, 2).join("/")
    : (specifier.split("/")[0] ?? specifier);
  const homes = PACKAGE_HOMES[name];
  if (homes === undefined) problems.push(`${file}: the package ${name} has no home in scripts/house.ts`);
  else if (!homes.some((home) => isUnder(file, home))) {
    problems.push(`${file}: the package ${name} lives in ${homes.join(", ")}`);
  }
}

function checkReserved(file: string, text: string): void {
  const lines = text.split("\n");
  for (const { pattern, name, allowed } of RESERVED) {
    if (allowed.some((folder) => isUnder(file, folder))) continue;
    const line = lines.findIndex((content) => pattern.test(content) && !/^\s*(?:\*|\/\/|\/\*)/.test(content));
    if (line >= 0) problems.push(`${file}:${line + 1}: uses ${name}; it arrives by argument`);
  }
}

function findCycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (node: string, path: string[]) => {
    const from = path.indexOf(node);
    if (from >= 0) {
      cycles.push([...path.slice(from), node]);
      return;
    }
    if (done.has(node)) return;
    for (const next of edges.get(node) ?? []) visit(next, [...path, node]);
    done.add(node);
  };
  for (const node of edges.keys()) visit(node, []);
  return cycles;
}
