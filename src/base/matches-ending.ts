/** `*` at the end of a pattern stands for any ending. */
export function matchesEnding(pattern: string, text: string): boolean {
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}
