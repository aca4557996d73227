/** Preloaded into an agent with `--import`: SIGUSR2 throws the text of `CRASH_TEXT` where nobody catches it. */
const text = process.env["CRASH_TEXT"] ?? "crash";

process.on("SIGUSR2", () => {
  throw new TypeError(text);
});
