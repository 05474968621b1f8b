/** Bodies that cost more than they weigh. All are text: what JSON.stringify would refuse or take long for is written out. */

export const longestBody = 2 * 2 ** 20;

/** `[[[…]]]` or `{"a":{"a":…}}`, so deep. */
export function nested(depth: number, form: "array" | "object" | "both"): string {
  if (form === "array") return "[".repeat(depth) + "1" + "]".repeat(depth);
  if (form === "object") return '{"a":'.repeat(depth) + "1" + "}".repeat(depth);
  return '{"a":['.repeat(Math.ceil(depth / 2)) + "1" + "]}".repeat(Math.ceil(depth / 2));
}

/** A list of one element as long as fits so many bytes. */
export function listOf(element: string, bytes = longestBody - 2000): string {
  const count = Math.max(1, Math.floor(bytes / (element.length + 1)));
  return `[${Array(count).fill(element).join(",")}]`;
}

/** An object with as many keys as fit so many bytes; its keys are numbers, as those of `logit_bias` are. */
export function recordOf(value: string, bytes = longestBody - 2000): string {
  const entries: string[] = [];
  for (let length = 0, index = 0; ; index++) {
    const entry = `"${index}":${value}`;
    length += entry.length + 1;
    if (length > bytes) return `{${entries.join(",")}}`;
    entries.push(entry);
  }
}

/** A chat of few tokens with more fields, given as JSON text. */
export function chat(fields: Record<string, string> = {}, model = "recall"): string {
  const all = {
    model: JSON.stringify(model),
    messages: '[{"role":"user","content":"hi"}]',
    max_tokens: "4",
    ...fields,
  };
  return object(all);
}

export const object = (fields: Record<string, string>): string =>
  `{${Object.entries(fields)
    .map(([name, text]) => `${JSON.stringify(name)}:${text}`)
    .join(",")}}`;

/** A list of one function with these parameters. */
export const toolWith = (parameters: string): string =>
  `[{"type":"function","function":{"name":"f","parameters":${parameters}}}]`;

export const schemaWith = (schema: string): string =>
  `{"type":"json_schema","json_schema":{"name":"s","schema":${schema}}}`;

export const propertiesWith = (schema: string): string =>
  `{"type":"object","properties":{"a":${schema}},"required":["a"]}`;

export const mapped = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join(",");

/** Characters of a class, one after the other from a code point, until so many bytes. */
export function characterRun(bytes: number, { from = 0x80, step = 1, escaped = false } = {}): string {
  let text = "";
  for (let code = from, length = 0; length < bytes; code += step) {
    if (code >= 0xd800 && code <= 0xdfff) code = 0xe000;
    if (code > 0x10ffff) break;
    const part = escaped ? `\\U${code.toString(16).padStart(8, "0")}` : String.fromCodePoint(code);
    text += part;
    length += Buffer.byteLength(part);
  }
  return text;
}

/** Messages of one kind, as many as fit. */
export const messages = (message: string, count: number): string =>
  `[${Array(count).fill(message).join(",")}]`;
