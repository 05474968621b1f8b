/** A text that a person wrote as JSON or YAML: what it stands for, and where in it things stand. */

export interface TextPosition {
  /** Line and column count from 1. */
  line: number;
  column: number;
}

export type ParsedText =
  | { ok: true; value: unknown; positionOf(path: readonly PropertyKey[]): TextPosition }
  | { ok: false; message: string; position: TextPosition };

export function toPosition(text: string, offset: number): TextPosition {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
