import type { ArgumentTags, ToolForm } from "../llama/types.js";
import { toolTypeMark } from "../llama/types.js";
import { present } from "../errors.js";
import { beforeMarks, formText, ofArgument, ofFunction } from "./form-marks.js";
import { literal, type GrammarBuilder } from "./json/grammar-builder.js";
import { addSchema, JsonSchemaWriter } from "./json/json-grammar.js";
import { elementLayout, textSchema } from "./json/json-objects.js";
import type { ObjectLayout } from "./json/schema-writer.js";
import { refuse, type JsonSchema } from "./json/json-schema.js";
import {
  bareName,
  bareNotation,
  elementNotation,
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
   * before, some stand at the beginning of an answer alone.
   */
  starts: (TextEnd & { isAfterText: boolean; isLeading: boolean })[];
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
        .map(
          ({ name, rule }) =>
            `${literal(name)} ${form.tags ? "" : formText(ofFunction(middle, name))} ${rule}`,
        )
        .join(" | "),
    );
  const more =
    mayBeSeveral && form.between !== null
      ? `(${formText(form.between)} ${bodyWith(form.middle)}){0,${mostCalls - 1}}`
      : "";
  const ending = `${more} ${formText(form.ending)}`;
  const ways = [
    { ...form, isAfterText: false, isLeading: leads(form) },
    ...(form.others ?? []).map((way) => ({ ...way, isLeading: false })),
  ];
  const starts = ways.flatMap(({ opening, middle, isAfterText, isLeading }) => {
    if (opening === "")
      return written.map(({ name, rule }) => {
        const whole = ofFunction(middle, name);
        const text = beforeMarks(whole);
        const follows = builder.rule(`${formText(whole.slice(text.length))} ${rule} ${ending}`);
        return { text: name + text, follows, isAfterText, isLeading };
      });
    const text = beforeMarks(opening);
    const rest = formText(opening.slice(text.length));
    return [{ text, follows: builder.rule(`${rest} ${bodyWith(middle)} ${ending}`), isAfterText, isLeading }];
  });
  return { starts, kinds };
}

/** Whether calls begin an answer or do not come: what begins like plain JSON would be taken for one in the middle of text. */
export function leads({ opening, isLeading = false }: ToolForm): boolean {
  return isLeading || opening.startsWith("{");
}

function notationOf(tags: ArgumentTags | undefined, builder: GrammarBuilder): Notation {
  switch (tags?.literals) {
    case "python":
      return pythonNotation(builder);
    case "bare":
      return bareNotation(builder);
    case "elements":
      return elementNotation(builder, elementsOf(tags));
    case "json":
    case undefined:
      return jsonNotation;
  }
}

const elementsOf = ({ elements }: ArgumentTags) => present(elements, "marks of elements");

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
  { name: called, schema, path, isStrict }: CalledFunction,
  { form, tags, notation, kinds }: Tagged,
): string {
  const parts = { builder, document: new SchemaDocument(schema, path), isStrict };
  const { text: quoted, value, elements } = tags;
  const values = new JsonSchemaWriter({
    ...{ ...parts, notation },
    ...(elements && { layout: (writer) => elementLayout(writer, elements.mark) }),
  });
  // What ends a text; elements have it behind every value.
  const endOf = (after: string) => elements?.mark ?? beforeMarks(after);
  const writerTo = (mark: string) => new JsonSchemaWriter({ ...parts, notation: rawTexts(mark) });
  const around = quoted === null ? [] : quoted.isOptional ? [quoted, value] : [quoted];
  const texts = around.map(({ before, after }) => {
    const end = endOf(after);
    return { before, writer: writerTo(end), rest: after.slice(end.length) };
  });
  const asValue = (conditions: readonly Located[], name: string | null): string[] => {
    const { before } = value;
    const after = own(elements ? value.after.slice(elements.mark.length) : value.after, name);
    if (quoted === null) return written(before, values.visit(conditions), after);
    const lists = before.includes(toolTypeMark) ? otherTypes.map((type) => [type]) : [otherTypes];
    return lists.flatMap((types) =>
      written(before.replace(toolTypeMark, types[0]), values.visit([...conditions, ofTypes(types)]), after),
    );
  };
  const ways = (key: string, conditions: readonly Located[], name: string | null): string[] => {
    const asText = texts.flatMap(({ before, writer, rest }) =>
      written(before, writer.visit([...conditions, textSchema]), own(rest, name)),
    );
    const other = asValue(conditions, name);
    if (name !== null) {
      const kind = asText.length === 0 ? "value" : other.length === 0 ? "text" : "either";
      kinds.set(name, (kinds.get(name) ?? kind) === kind ? kind : "either");
    }
    return [...asText, ...other].map((way) => `${key} ${way}`);
  };
  const layout: ObjectLayout = {
    opening: formText(ofFunction(form.middle, called)),
    comma: literal(tags.next),
    closing: literal(tags.last),
    empty: formText(ofFunction(tags.none, called)),
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

const own = (text: string, name: string | null) => (name === null ? text : ofArgument(text, name));

function written(before: string, rule: string | null, after: string): string[] {
  return rule === null ? [] : [`${formText(before)} ${rule} ${formText(after)}`];
}
