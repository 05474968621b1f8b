import { callId } from "../llama/tool-form.js";
import {
  toolIdMark,
  toolIndexMark,
  toolTypeMark,
  type ArgumentTags,
  type ToolCall,
  type ToolForm,
} from "../llama/types.js";
import { present } from "../errors.js";
import { ofArgument, ofFunction } from "../grammar/form-marks.js";
import { isObject } from "../grammar/json/json-schema.js";
import { bareLiteral, elementLiteral, pythonLiteral } from "../grammar/json/notation.js";

/** Calls as an answer has them; one by one where the form has no more than one. */
export function writeCalls(calls: readonly ToolCall[], form: ToolForm): string {
  const { opening, between, ending } = form;
  const written = calls.map((call, index) => {
    const isFirst = index === 0 || between === null;
    const end = between === null || index === calls.length - 1 ? ending : "";
    const leading = isFirst ? opening : between;
    const own = (text: string) => marked(text, call, index);
    return own(leading) + call.name + argumentsOf(call, form, own) + own(end);
  });
  return written.join(between === null ? "\n" : "");
}

/** An id or a number stands where the form has one of a call. */
function marked(text: string, { id, name }: ToolCall, index: number): string {
  return ofFunction(text, name)
    .replaceAll(toolIdMark, () => callId(id, "short", name, index))
    .replaceAll(toolIndexMark, String(index));
}

/** @param own puts the call's id and number in their places */
function argumentsOf(
  { arguments: given }: ToolCall,
  { middle, tags }: ToolForm,
  own: (text: string) => string,
): string {
  if (tags === undefined) return own(middle) + given;
  const values = Object.entries(parsed(given));
  if (values.length === 0) return own(tags.none);
  if (tags.isSorted) values.sort(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  const written = values.map(([name, value]) => {
    if (typeof value === "string" && tags.text !== null)
      return name + tags.text.before + value + ofArgument(tags.text.after, name);
    const before = tags.value.before.replace(toolTypeMark, typeName(value));
    return name + before + literal(value, tags) + ofArgument(tags.value.after, name);
  });
  return own(middle) + written.join(tags.next) + tags.last;
}

/** Arguments that a client sends back may be any text. */
function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function literal(value: unknown, { literals, elements }: ArgumentTags): string {
  switch (literals) {
    case "elements":
      return elementLiteral(value, present(elements, "marks of elements"));
    case "json":
      return JSON.stringify(value);
    case "python":
      return pythonLiteral(value);
    case "bare":
      return bareLiteral(value);
  }
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
