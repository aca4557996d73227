import { expect, test } from "vitest";
import { type CommandShape, completeWords } from "./complete-words.ts";

const leaf = (name: string, part: Partial<CommandShape> = {}): CommandShape => ({
  name,
  options: [],
  args: [],
  isVariadic: false,
  commands: [],
  ...part,
});
const ROOT = leaf("sluice", {
  commands: [
    leaf("help", { args: ["command"] }),
    leaf("box", {
      commands: [
        leaf("ls", {
          options: [
            { flags: ["-l", "--labels"], value: "selector", choices: [] },
            { flags: ["--state"], value: "state", choices: ["pending", "approved"] },
            { flags: ["--json"], value: undefined, choices: [] },
            { flags: ["--context"], value: "context", choices: [] },
          ],
        }),
        leaf("label", { args: ["box", "label"], isVariadic: true }),
        leaf("drain", { args: ["box"], isVariadic: true }),
      ],
    }),
    leaf("stream", {
      commands: [leaf("start", { args: ["box/stream"], options: [{ flags: ["-f"], value: "file", choices: [] }] })],
    }),
  ],
});

const words = (...list: string[]) => ({ kind: "words", words: list });
const names = (of: string, begin: string) => ({ kind: "names", of, begin });

test.each([
  [[""], words("help", "box", "stream")],
  [["help", "b"], words("box")],
  [["b"], words("box")],
  [["box", ""], words("ls", "label", "drain")],
  [["box", "l"], words("ls", "label")],
  [["box", "ls", "--"], words("--labels", "--state", "--json", "--context")],
  [["box", "ls", "--state", "p"], words("pending")],
  [["box", "ls", "--json", "--state", ""], words("pending", "approved")],
  [["box", "ls", "--context", "la"], names("context", "la")],
  [["box", "ls", "-l", "x"], { kind: "files" }],
  [["box", "ls", ""], words()],
  [["box", "drain", "n"], names("box", "n")],
  [["box", "drain", "a", "b"], names("box", "b")],
  [["box", "label", "north-1", "x"], { kind: "files" }],
  [["stream", "start", "nor"], names("stream", "nor")],
  [["stream", "start", "-f", ""], { kind: "files" }],
  [["nonsense", ""], words("help", "box", "stream")],
])("%j", (line, completion) => {
  expect(completeWords(ROOT, line)).toEqual(completion);
});
