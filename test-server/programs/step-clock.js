/**
 * Preloaded into an agent: SIGUSR2 sets its wall clock to the real one plus the seconds that stand in the file of
 * `STEP_CLOCK_FILE`. The monotonic clock goes on, as it does when a real clock is set. Plain JavaScript, so that Node need
 * not carry a compiler into the agent under test.
 */
import { readFileSync } from "node:fs";

const RealDate = Date;
let offsetMs = 0;

globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RealDate.now() + offsetMs] : given));
  }

  static now() {
    return RealDate.now() + offsetMs;
  }
};

const read = () => {
  offsetMs = Number(readFileSync(process.env["STEP_CLOCK_FILE"] ?? "", "utf8")) * 1000;
};
read();
process.on("SIGUSR2", read);
