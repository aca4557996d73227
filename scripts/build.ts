#!/usr/bin/env node
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { OWN_PAGES, VENDOR, vendorDirectory } from "../src/hub/http/page-directories.ts";

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
  plugins: [{ name: "own-modules-of-node", renderChunk: (code) => takeFromNode(code) }],
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
const packages = new Set(
  [...modules, ...VENDOR.map((vendor) => vendorDirectory(vendor, import.meta.url))].flatMap(
    (path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [],
  ),
);
const terminals = copyTerminals(join(directory, "native"));
copyPages(join(directory, "pages"));
writeFileSync(
  join(directory, "THIRD-PARTY-LICENCES.txt"),
  [...packages, ...terminals].sort().map(licenceOf).join("\n\n"),
);
cpSync(join(root, "node_modules/@fastify/swagger-ui/static"), join(directory, "static"), { recursive: true });
rmSync(join(directory, "cache"), { recursive: true, force: true });

/**
 * Takes from Node's own modules what is used, in the place of `import`, which reads all that such a module exports, also what it would
 * load only then: with `node:http` comes the client behind the global `fetch` (40 ms, 6 MB), with `node:crypto` all of WebCrypto.
 */
function takeFromNode(code: string): string {
  return code.replace(
    /^import\s*([^"';]*?)\s*from\s*(["']node:[a-z/0-9_]+["']);/gm,
    (_whole, names: string, module: string) => {
      const [, single = "", several] = /^(?:\* as )?([\w$]+)?\s*,?\s*(\{[^}]*\})?$/s.exec(names) ?? [];
      const parts = [single, several?.replace(/([\w$]+)\s+as\s+([\w$]+)/g, "$1: $2")].filter(Boolean);
      if (parts.length === 0) throw new TypeError(`an import of ${module} in a form that is not known: ${names}`);
      return `const ${parts.map((part) => `${part} = globalThis.process.getBuiltinModule(${module})`).join(", ")};`;
    },
  );
}

/** The dashboard and what its pages load of packages: a hub that was built needs nothing beside its program. */
function copyPages(pages: string): void {
  for (const { folder } of OWN_PAGES) cpSync(join(root, "public", folder), join(pages, folder), { recursive: true });
  for (const vendor of VENDOR) {
    for (const file of vendor.files) {
      const target = join(pages, "vendor", vendor.name, file);
      mkdirSync(dirname(target), { recursive: true });
      cpSync(join(vendorDirectory(vendor, import.meta.url), file), target);
    }
  }
}

/**
 * What gives remote sessions their terminals: one native file a machine, without which everything else works. Those that npm put
 * here are for this machine; `scripts/package` takes that of each machine that it packs for. Answers with the package of its licence.
 */
function copyTerminals(native: string): string[] {
  const home = join(root, "node_modules/@lydell");
  if (!existsSync(home)) return [];
  const machines = readdirSync(home).filter((name) => /^node-pty-linux-/.test(name));
  for (const machine of machines) {
    mkdirSync(native, { recursive: true });
    cpSync(join(home, machine, "pty.node"), join(native, `${machine}.node`));
  }
  return machines.length === 0 ? [] : [join(home, "node-pty")];
}

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
