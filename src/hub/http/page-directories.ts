import { existsSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Files that anybody may read, below `prefix` of the address. */
export interface PageDirectory {
  readonly prefix: string;
  readonly directory: string;
}

/** What the dashboard's pages load of packages: from `folder` of the package, under `/vendor/<name>/`. */
export const VENDOR = [
  {
    name: "lit-html",
    package: "lit-html",
    folder: ".",
    files: ["lit-html.js", "directive.js", "directive-helpers.js", "directives/repeat.js"],
  },
  { name: "uplot", package: "uplot", folder: "dist", files: ["uPlot.esm.js", "uPlot.min.css"] },
  { name: "xterm", package: "@xterm/xterm", folder: ".", files: ["lib/xterm.mjs", "css/xterm.css"] },
  { name: "xterm-fit", package: "@xterm/addon-fit", folder: "lib", files: ["addon-fit.mjs"] },
  { name: "mpegts", package: "mpegts.js", folder: "dist", files: ["mpegts.js"] },
] as const;

/** Below the public folder of a checkout, and below `build/pages` of a built program. */
export const OWN_PAGES = [
  { prefix: "/", folder: "dashboard" },
  { prefix: "/shared/", folder: "shared" },
] as const;

/**
 * Where the dashboard's files lie: beside the program where it was built (`pages/`), else in the checkout.
 *
 * @param program `import.meta.url` of a file in `build/` or `src/`
 */
export function findPageDirectories(program: string): PageDirectory[] {
  // A built program is cut into files of `build/` and of `build/chunks/`.
  const built = ["pages/", "../pages/"].map((path) => fileURLToPath(new URL(path, program))).find(existsSync);
  if (built !== undefined) {
    return [
      ...OWN_PAGES.map(({ prefix, folder }) => ({ prefix, directory: join(built, folder) })),
      ...VENDOR.map(({ name }) => ({ prefix: `/vendor/${name}/`, directory: join(built, "vendor", name) })),
    ];
  }
  const checkout = fileURLToPath(new URL("../public/", program));
  return [
    ...OWN_PAGES.map(({ prefix, folder }) => ({ prefix, directory: join(checkout, folder) })),
    ...VENDOR.map((vendor) => ({ prefix: `/vendor/${vendor.name}/`, directory: vendorDirectory(vendor, program) })),
  ];
}

/** In `node_modules`, as the package stands there. */
export function vendorDirectory(vendor: (typeof VENDOR)[number], from: string): string {
  const manifest = findPackageJSON(vendor.package, from);
  return join(manifest === undefined ? "node_modules" : dirname(manifest), vendor.folder);
}
