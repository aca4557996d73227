#!/usr/bin/env node
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";

/**
 * Puts `src/` and what it needs of its packages into `build/`: one file for what every command loads, one more for each
 * program. Unused code is left out, names are kept: a stack trace still says where. A running agent then holds 15 MB less
 * than one that loads each module by itself.
 */
const root = resolve(import.meta.dirname, "..");
const directory = join(root, "build");

const bundle = await rolldown({
  input: join(root, "src/main.ts"),
  platform: "node",
  external: [/^node:/],
  // The global one would bring Node's HTTP client with it, which nothing here uses: 6 MB.
  transform: {
    inject: { MessageEvent: [join(root, "src/agent/link/message-event.ts"), "MessageEvent"] },
    // The API page looks for its files beside its code.
    define: { __dirname: "chunkDirectory" },
  },
});
const { output } = await bundle.write({
  dir: directory,
  format: "esm",
  chunkFileNames: "chunks/[name]-[hash].js",
  intro: "const chunkDirectory = import.meta.dirname;",
  cleanDir: true,
  minify: { compress: true, mangle: false, codegen: true },
});
await bundle.close();

const modules = output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : []));
const packages = new Set(modules.flatMap((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
writeFileSync(join(directory, "THIRD-PARTY-LICENCES.txt"), [...packages].sort().map(licenceOf).join("\n\n"));
cpSync(join(root, "node_modules/@fastify/swagger-ui/static"), join(directory, "static"), { recursive: true });
rmSync(join(directory, "cache"), { recursive: true, force: true });

/** What the licence of a package wants to be passed on with its code. */
function licenceOf(path: string): string {
  const { name, version, license }: Record<string, unknown> = JSON.parse(
    readFileSync(join(path, "package.json"), "utf8"),
  );
  const texts = readdirSync(path)
    .filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file))
    .map((file) => readFileSync(join(path, file), "utf8").trim());
  return [`==== ${String(name)} ${String(version)} (${String(license)})`, ...texts].join("\n\n");
}
