import { toolIdMark, toolIndexMark, toolKeyMark, toolNameMark, toolTypeMark } from "../llama/types.js";
import { literal } from "./json/grammar-builder.js";

/** Texts of a tool form, in which marks stand for what differs from call to call. */

const marks = [
  { mark: toolIdMark, written: "[a-zA-Z0-9]{9}" },
  { mark: toolIndexMark, written: "[0-9]{1,3}" },
  { mark: toolTypeMark, written: "[a-z]{1,9}" },
  { mark: toolNameMark, written: "[a-zA-Z0-9_-]{1,128}" },
  { mark: toolKeyMark, written: "[a-zA-Z0-9_.$-]{1,64}" },
] as const;

const anyMark = new RegExp(`([${marks.map(({ mark }) => mark).join("")}])`);

function parts(text: string): { text: string; written: string | null }[] {
  return text
    .split(anyMark)
    .filter((part) => part !== "")
    .map((part) => ({ text: part, written: marks.find(({ mark }) => mark === part)?.written ?? null }));
}

/** A text of a form as GBNF. */
export function formText(text: string): string {
  const written = parts(text).map((part) => part.written ?? literal(part.text));
  return written.length === 0 ? `""` : written.join(" ");
}

/** A text of a form as a regular expression's source. */
export function formPattern(text: string): string {
  return parts(text)
    .map((part) => part.written ?? part.text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"))
    .join("");
}

/** A text of a form as it is for the calls of one function. */
export function ofFunction(text: string, name: string): string {
  return text.replaceAll(toolNameMark, () => name);
}

/** A text behind a value as it is for the argument of one name. */
export function ofArgument(text: string, name: string): string {
  return text.replaceAll(toolKeyMark, () => name);
}

/** The text up to its first mark. */
export function beforeMarks(text: string): string {
  return text.split(anyMark)[0] ?? "";
}
