import { parseJsonText } from "./json-text.js";
import type { ParsedText } from "./text-position.js";
import { parseYamlText } from "./yaml-text.js";

export const isYamlName = (file: string): boolean => /\.ya?ml$/i.test(file);

/** Reads a text as the ending of its file's name says; a fault begins with the language that it is one of. */
export function parseWrittenText(text: string, file: string): ParsedText {
  const [language, parsed] = isYamlName(file)
    ? (["YAML", parseYamlText(text)] as const)
    : (["JSON", parseJsonText(text)] as const);
  return parsed.ok ? parsed : { ...parsed, message: `not ${language}: ${parsed.message}` };
}
