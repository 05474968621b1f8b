import type { ArgumentTags, ToolForm } from "../llama/types.js";
import { toolTypeMark } from "../llama/types.js";
import { beforeMarks, formText } from "./form-marks.js";
import { literal, type GrammarBuilder } from "./json/grammar-builder.js";
import { addSchema, JsonSchemaWriter } from "./json/json-grammar.js";
import { textSchema } from "./json/json-objects.js";
import type { ObjectLayout } from "./json/schema-writer.js";
import { refuse, type JsonSchema } from "./json/json-schema.js";
import {
  bareName,
  bareNotation,
  jsonNotation,
  pythonNotation,
  rawTexts,
  type Notation,
} from "./json/notation.js";
import { SchemaDocument, type Located } from "./json/schema-document.js";
import type { TextEnd } from "./through-text.js";

/** Calls of functions as GBNF, in the form in which a model writes them. */

export interface CalledFunction {
  name: string;
  /** Of its arguments, which are an object. */
  schema: JsonSchema;
  /** Path of the schema in the request. */
  path: string;
  isStrict: boolean;
}

/** Whether an argument is a text, anything else, or either: where texts stand without quotes, only the schema tells. */
export type ArgumentKind = "text" | "value" | "either";
/** By function and argument. */
export type ArgumentKinds = ReadonlyMap<string, ReadonlyMap<string, ArgumentKind>>;

export interface Calls {
  /**
   * What calls begin with, and the rules of what follows: one for each way to begin. Some ways end what was said
   * before.
   */
  starts: (TextEnd & { isAfterText: boolean })[];
  kinds: ArgumentKinds;
}

/** Most calls of one answer. */
const mostCalls = 16;

export function addCalls(
  builder: GrammarBuilder,
  form: ToolForm,
  { functions, mayBeSeveral }: { functions: readonly CalledFunction[]; mayBeSeveral: boolean },
): Calls {
  const kinds = new Map<string, Map<string, ArgumentKind>>();
  const notation = notationOf(form.tags, builder);
  const written = functions.map((called) => {
    const ofCall = new Map<string, ArgumentKind>();
    kinds.set(called.name, ofCall);
    const options = { param: called.path, isStrict: called.isStrict };
    const rule = form.tags
      ? addTagged(builder, called, { form, tags: form.tags, notation, kinds: ofCall })
      : addSchema(builder, called.schema, options);
    return { name: called.name, rule };
  });
  const bodyWith = (middle: string) =>
    builder.rule(
      written
        .map(({ name, rule }) => `${literal(name)} ${form.tags ? "" : formText(middle)} ${rule}`)
        .join(" | "),
    );
  const more =
    mayBeSeveral && form.between !== null
      ? `(${formText(form.between)} ${bodyWith(form.middle)}){0,${mostCalls - 1}}`
      : "";
  const ways = [{ ...form, isAfterText: false }, ...(form.others ?? [])];
  const starts = ways.map(({ opening, middle, isAfterText }) => {
    const text = beforeMarks(opening);
    const rest = formText(opening.slice(text.length));
    return {
      isAfterText,
      text,
      follows: builder.rule(`${rest} ${bodyWith(middle)} ${more} ${formText(form.ending)}`),
    };
  });
  return { starts, kinds };
}

function notationOf(tags: ArgumentTags | undefined, builder: GrammarBuilder): Notation {
  switch (tags?.literals) {
    case "python":
      return pythonNotation(builder);
    case "bare":
      return bareNotation(builder);
    case "json":
    case undefined:
      return jsonNotation;
  }
}

const otherTypes = ["number", "boolean", "null", "array", "object"] as const;
const ofTypes = (types: readonly string[]): Located => ({
  schema: { type: types },
  path: "",
  key: `~${types.join()}`,
});

interface Tagged {
  form: ToolForm;
  tags: ArgumentTags;
  notation: Notation;
  /** Gets those of the function's arguments. */
  kinds: Map<string, ArgumentKind>;
}

/** Arguments that stand for themselves: each behind its name, in the schema's order. */
function addTagged(
  builder: GrammarBuilder,
  { schema, path, isStrict }: CalledFunction,
  { form, tags, notation, kinds }: Tagged,
): string {
  const parts = { builder, document: new SchemaDocument(schema, path), isStrict };
  const values = new JsonSchemaWriter({ ...parts, notation });
  const { text: quoted, value } = tags;
  const writerTo = (mark: string) => new JsonSchemaWriter({ ...parts, notation: rawTexts(mark) });
  const around = quoted === null ? [] : quoted.isOptional ? [quoted, value] : [quoted];
  const texts = around.map(({ before, after }) => ({ before, writer: writerTo(after) }));
  const asValue = (conditions: readonly Located[]): string[] => {
    const { before, after } = value;
    if (quoted === null) return written(before, values.visit(conditions), after);
    const lists = before.includes(toolTypeMark) ? otherTypes.map((type) => [type]) : [otherTypes];
    return lists.flatMap((types) =>
      written(before.replace(toolTypeMark, types[0]), values.visit([...conditions, ofTypes(types)]), after),
    );
  };
  const ways = (key: string, conditions: readonly Located[], name: string | null): string[] => {
    const asText = texts.flatMap(({ before, writer }) =>
      written(before, writer.visit([...conditions, textSchema]), ""),
    );
    const other = asValue(conditions);
    if (name !== null) {
      const kind = asText.length === 0 ? "value" : other.length === 0 ? "text" : "either";
      kinds.set(name, (kinds.get(name) ?? kind) === kind ? kind : "either");
    }
    return [...asText, ...other].map((way) => `${key} ${way}`);
  };
  const layout: ObjectLayout = {
    opening: formText(form.middle),
    comma: literal(tags.next),
    closing: literal(tags.last),
    empty: formText(tags.none),
    isSorted: tags.isSorted,
    member: (name, conditions) => {
      const all = ways(literal(name), conditions, name);
      return all.length === 0 ? null : `(${all.join(" | ")})`;
    },
    other: (_names, conditions) => ways(bareName, conditions, null),
  };
  const constant = () => {
    throw refuse(path, "arguments are written one by one: name them in properties");
  };
  const whole = new JsonSchemaWriter({ ...parts, layout, notation: { ...jsonNotation, constant } });
  const rule = whole.visit([parts.document.root]);
  if (rule === null) throw refuse(path, "no value fits it");
  return rule;
}

function written(before: string, rule: string | null, after: string): string[] {
  return rule === null ? [] : [`${formText(before)} ${rule} ${literal(after)}`];
}
