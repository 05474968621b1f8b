import type { z } from "zod";
import { dottedPath, explainIssues } from "../config/explain-issues.js";
import { ShouldersError } from "../errors.js";

type Issue = z.core.$ZodIssue;

/** One is told, and a body can hold a hundred thousand. Only zod's `validate` sets this by itself, and tells none. */
const firstFaultOnly: z.core.ParseContextInternal<Issue> = { abortEarly: true };

/**
 * Wraps the schema of a field that is understood but not yet honoured: a value that asks for nothing passes,
 * any other is refused with `unsupported_field`. To honour the field later, unwrap it.
 */
export function unsupportedUnless<Schema extends z.ZodType>(
  schema: Schema,
  asksForNothing: (value: z.output<Schema>) => boolean,
  hint: string,
) {
  return schema
    .refine(asksForNothing, { params: { code: "unsupported_field" }, error: `not supported yet; ${hint}` })
    .nullish();
}

/** @throws ShouldersError that names the first field at fault. */
export function parseRequest<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value, firstFaultOnly);
  if (result.success) return result.data;
  const first = result.error.issues[0];
  if (first === undefined) return result.data as never;
  const problem = hasOwnMessage(first) ? first : explainIssues(schema, value, [firstOnly(first)])[0];
  const { path, message } = problem ?? first;
  const param = dottedPath(path).slice(0, 200);
  throw new ShouldersError(
    isUnsupported(first) ? "unsupported_field" : "invalid_request",
    `${param === "" ? "Invalid request" : `Invalid '${param}'`}: ${message}${message.endsWith("?") ? "" : "."}`,
    { param: param === "" ? null : param },
  );
}

function isUnsupported(issue: Issue): boolean {
  return issue.code === "custom" && issue.params?.["code"] === "unsupported_field";
}

/** A union that says itself what it expects, rather than what its likeliest branch does. */
function hasOwnMessage(issue: Issue): boolean {
  return issue.code === "invalid_union" && issue.message !== "Invalid input" && issue.errors.length > 0;
}

/** A body can hold very many unknown keys; explaining one is enough. */
function firstOnly(issue: Issue): Issue {
  return issue.code === "unrecognized_keys" ? { ...issue, keys: issue.keys.slice(0, 1) } : issue;
}
