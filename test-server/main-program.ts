import { resolve } from "node:path";

/**
 * What tests start as `sluice`: the program that is installed, where `scripts/test` has compiled it (it starts in a quarter of
 * the processor time), else the sources as they are.
 */
export const MAIN_PROGRAM = process.env["SLUICE_TEST_PROGRAM"] ?? resolve(import.meta.dirname, "../src/main.ts");
