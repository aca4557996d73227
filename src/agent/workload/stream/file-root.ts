import { dirname, relative } from "node:path/posix";

/** What the disk knows about a path. Both follow the disk as it is now. */
export interface PathLookup {
  /** The path with every link resolved, or undefined where it does not exist or cannot be read. */
  realpath(path: string): string | undefined;
  /** Whether there is an entry of that name, a link that leads nowhere included. */
  hasEntry(path: string): boolean;
}

/**
 * Whether `path`, or the place where it would be created, lies inside one of `roots` after all links are resolved.
 * A link that leads nowhere is outside: whoever writes through it chooses the place.
 */
export function isInsideRoots(path: string, roots: readonly string[], disk: PathLookup): boolean {
  const real = resolveDeepest(path, disk);
  if (real === undefined) return false;
  return roots.some((root) => {
    const realRoot = disk.realpath(root);
    return realRoot !== undefined && isWithin(realRoot, real);
  });
}

function resolveDeepest(path: string, disk: PathLookup): string | undefined {
  let existing = path.length > 1 ? path.replace(/\/+$/, "") : path;
  const missing: string[] = [];
  for (;;) {
    const real = disk.realpath(existing);
    if (real !== undefined) return [real === "/" ? "" : real, ...missing].join("/") || "/";
    if (existing === "/" || existing === "." || disk.hasEntry(existing)) return undefined;
    missing.unshift(existing.slice(existing.lastIndexOf("/") + 1));
    existing = dirname(existing);
  }
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== ".." && !way.startsWith("../");
}
