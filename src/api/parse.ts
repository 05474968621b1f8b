import type { z } from "zod";
import { checkValue, dottedPath, explainIssues, noOwnWords } from "../config/explain-issues.js";
import { fieldError, invariant } from "../errors.js";

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
  const checked = checkValue(schema, value, firstFaultOnly);
  if (checked.isValid) return checked.data;
  const first = checked.issues[0];
  invariant(first, "a refused value has an issue");
  const problem = hasOwnMessage(first) ? first : explainIssues(schema, value, [firstOnly(first)])[0];
  const { path, message } = problem ?? first;
  throw fieldError(dottedPath(path), message, isUnsupported(first) ? "unsupported_field" : "invalid_request");
}

function isUnsupported(issue: Issue): boolean {
  return issue.code === "custom" && issue.params?.["code"] === "unsupported_field";
}

/** A union that says itself what it expects, rather than what its likeliest branch does. */
function hasOwnMessage(issue: Issue): boolean {
  return issue.code === "invalid_union" && issue.message !== noOwnWords && issue.errors.length > 0;
}

/** A body can hold very many unknown keys; explaining one is enough. */
function firstOnly(issue: Issue): Issue {
  return issue.code === "unrecognized_keys" ? { ...issue, keys: issue.keys.slice(0, 1) } : issue;
}
