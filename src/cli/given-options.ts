/** The options of a configuration that were given as flags: `raw` is what commander made of the command line. */
export function givenOptions<Key extends string>(
  raw: Readonly<Record<string, unknown>>,
  keys: readonly Key[],
  flagOf: (key: Key) => string,
): Partial<Record<Key, string>> {
  const options: Partial<Record<Key, string>> = {};
  for (const key of keys) {
    const text = raw[attributeOf(flagOf(key))];
    if (typeof text === "string") options[key] = text;
  }
  return options;
}

/** The name under which commander keeps a flag: `--state-dir` → `stateDir`. */
function attributeOf(flag: string): string {
  return flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
