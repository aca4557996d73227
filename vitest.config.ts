import { defineConfig } from "vitest/config";

/** A test file's suffix names the world it needs; `scripts/test` installs those worlds before it runs them. */
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test-server/**/*.test.ts", "scripts/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    pool: "forks",
  },
});
