import { z } from "zod";

/**
 * A record of at most so many entries, which are counted before any is looked at. `__proto__`, which zod's own
 * records leave out without a word, is refused like any other key that means nothing.
 */
export function recordOf<Key extends z.ZodString, Value extends z.ZodType>(
  key: Key,
  value: Value,
  most: number,
) {
  return z.preprocess(
    (given, context) => {
      if (typeof given !== "object" || given === null) return given;
      const problem = (message: string, path: string[] = []) =>
        context.issues.push({ code: "custom", input: given, path, message, continue: false });
      if (Object.keys(given).length > most) problem(`expected at most ${most} entries`);
      else if (Object.hasOwn(given, "__proto__")) problem("nothing has this name", ["__proto__"]);
      return given;
    },
    z.record(key, value),
  );
}
