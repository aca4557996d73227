import { defineConfig } from "vitest/config";

/** A test file's suffix names the world it needs; `scripts/test` installs those worlds before it runs them. */
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test-server/**/*.test.ts", "scripts/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many tests wait for real programs: with one more than cores they wait together.
    maxWorkers: 3,
    pool: "forks",
  },
});
