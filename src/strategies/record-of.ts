import { z } from "zod";

type Issues = Pick<z.core.ParsePayload, "issues">;

/** Counts the entries before any is looked at, and refuses `__proto__`, which zod's records leave out in silence. */
function checkKeys(given: unknown, { issues }: Issues, most: number): void {
  if (typeof given !== "object" || given === null) return;
  const problem = (message: string, path: string[] = []) =>
    issues.push({ code: "custom", input: given, path, message, continue: false });
  if (Object.keys(given).length > most) problem(`expected at most ${most} entries`);
  else if (Object.hasOwn(given, "__proto__")) problem("nothing has this name", ["__proto__"]);
}

/** A record of at most so many entries; any other key that means nothing is its reader's to refuse. */
export function recordOf<Key extends z.ZodString, Value extends z.ZodType>(
  key: Key,
  value: Value,
  most: number,
) {
  return z.preprocess(
    (given, context) => {
      checkKeys(given, context, most);
      return given;
    },
    z.record(key, value),
  );
}

/** The same for what is written by its schema too; JSON Schema says nothing of it. */
export function codedRecordOf<Value extends z.ZodType>(value: Value, most: number) {
  return z
    .unknown()
    .check((context) => checkKeys(context.value, context, most))
    .pipe(z.record(z.string(), value));
}
