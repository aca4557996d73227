import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The slowest files of each project, slowest first, as measured: one that came last would run on while nothing runs beside it. */
const SLOWEST: readonly string[] = [];

/** Runs what is known to be slow first. All else comes as Vitest has it, which knows sizes alone in a fresh checkout. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = SLOWEST.indexOf(relative(this.ctx.config.root, moduleId));
      return found === -1 ? SLOWEST.length : found;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}
