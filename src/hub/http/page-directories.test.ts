import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { findPageDirectories, VENDOR } from "./page-directories.ts";
import { PICTURE_PAGE } from "./picture-page.ts";
import { TERMINAL_FRAME } from "./security-headers.ts";

const PUBLIC = resolve(import.meta.dirname, "../../../public");
const directories = findPageDirectories(new URL("../../start-hub.ts", import.meta.url).href);

/** Where an address of the hub is read from: the longest prefix wins. */
function fileOf(path: string): string | undefined {
  const [found] = directories
    .filter(({ prefix }) => path.startsWith(prefix))
    .sort((left, right) => right.prefix.length - left.prefix.length);
  return found === undefined ? undefined : join(found.directory, path.slice(found.prefix.length));
}

function addressesIn(file: string, at: string): string[] {
  return addressesOf(readFileSync(file, "utf8"), at);
}

function addressesOf(text: string, at: string): string[] {
  const named = [...text.matchAll(/(?:from|import|src=|href=)\s*"((?:\.{1,2})?\/[^"#?]+\.(?:m?js|css|svg))"/g)];
  return named.flatMap(([, name]) => (name === undefined ? [] : [posix.resolve(posix.dirname(at), name)]));
}

test("every file that a page of the dashboard loads is served, and from the hub itself", () => {
  const queue = ["/index.html", TERMINAL_FRAME, ...addressesOf(PICTURE_PAGE, "/")];
  for (const path of queue) {
    const file = fileOf(path);
    expect(file !== undefined && existsSync(file), path).toBe(true);
    if (file === undefined) continue;
    for (const address of addressesIn(file, path)) if (!queue.includes(address)) queue.push(address);
  }
  expect(queue).toContain("/vendor/uplot/uPlot.esm.js");
  expect(queue).toContain("/views/box-view.js");
  expect(queue).toContain("/vendor/mpegts/mpegts.js");
  expect(queue).toContain("/vendor/xterm/lib/xterm.mjs");
});

test("every package's file that is loaded is one that a built program carries", () => {
  const carried = VENDOR.flatMap(({ name, files }) => files.map((file) => `/vendor/${name}/${file}`));
  const loaded = readdirSync(join(PUBLIC, "dashboard"), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:js|html)$/.test(file))
    .flatMap((file) => [...readFileSync(join(PUBLIC, "dashboard", file), "utf8").matchAll(/"(\/vendor\/[^"]+)"/g)])
    .map(([, address]) => address ?? "");
  expect(new Set(loaded).size).toBeGreaterThan(3);
  for (const address of loaded) expect(carried).toContain(address);
  for (const address of carried.filter((path) => path.endsWith(".js"))) {
    const file = fileOf(address);
    const text = file === undefined ? "" : readFileSync(file, "utf8");
    for (const [, name = ""] of text.matchAll(/(?:from|import)"(\.[^"]+)"/g)) {
      expect(carried).toContain(posix.join(dirname(address), name));
    }
  }
});

test("a built program serves what was built beside it, from each of its files", () => {
  const build = mkdtempSync(join(tmpdir(), "sluice-pages-"));
  try {
    mkdirSync(join(build, "pages"));
    for (const program of ["main.js", "chunks/start-hub.js"]) {
      const found = findPageDirectories(pathToFileURL(join(build, program)).href);
      expect(found).toContainEqual({ prefix: "/", directory: join(build, "pages/dashboard") });
      expect(found).toContainEqual({ prefix: "/vendor/lit-html/", directory: join(build, "pages/vendor/lit-html") });
    }
  } finally {
    rmSync(build, { recursive: true });
  }
});
