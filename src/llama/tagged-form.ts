import { bareQuote, toolKeyMark, type ArgumentTags, type ToolForm } from "./types.js";

/** Makes a form of what was found around arguments that each stand for themselves. */

export interface Found {
  opening: string;
  middle: string;
  /** Around a text: with its quotes; optional: a short one stands without. */
  text: { before: string; closing: string; isOptional: boolean };
  /** Around a number, up to the next name. */
  value: { before: string; next: string };
  /** After the last argument, a number: up to the name of another call (null: there is none), and to the end. */
  args: { between: string | null; ending: string };
  /** The same after the name of a call without arguments. */
  none: { between: string | null; ending: string };
  /** Quotes were looked for within the text. */
  hasQuotes: boolean;
  literals: "json" | "python" | "elements";
  /** Where literals are elements. */
  elements: ArgumentTags["elements"] | null;
  isSorted: boolean;
}

/** @returns null: nothing says where a text ends */
export function taggedForm(found: Found): ToolForm | null {
  const { opening, middle, text, value, args, none, isSorted, elements } = found;
  const literals = literalsOf(found);
  const isQuoted = found.hasQuotes || literals === "bare" || isQuote(text, value.before);
  const after = closed(commonStart(value.next, args.ending));
  if (!isQuoted && text.closing + after === "") return null;
  const joint = jointOf(args, none, after);
  const tags: ArgumentTags = {
    none: joint.none,
    next: value.next.slice(after.length),
    last: joint.last,
    text: isQuoted
      ? null
      : {
          before: text.before,
          after: text.closing + after,
          isOptional: text.isOptional && text.before !== value.before,
        },
    value: { before: value.before, after },
    literals,
    ...(elements && { elements }),
    isSorted,
  };
  return { opening, middle, between: joint.between, ending: joint.ending, tags };
}

/** A tag that has the argument's name closes it: the next tag begins behind that. */
function closed(after: string): string {
  const at = after.indexOf(`${toolKeyMark}>`);
  return at < 0 ? after : after.slice(0, at + toolKeyMark.length + 1);
}

function literalsOf({ text, value, literals }: Found): ArgumentTags["literals"] {
  if (text.closing === bareQuote && text.before === value.before + bareQuote) return "bare";
  return isQuote(text, value.before) ? "python" : literals;
}

function isQuote({ before, closing }: Found["text"], otherBefore: string): boolean {
  return /^['"]$/.test(closing) && before === otherBefore + closing;
}

/**
 * Divides what follows arguments, and a name without any, into what ends the call and what both have: what leads to
 * another call, and what ends them all.
 *
 * @param after what ends a value
 */
function jointOf(
  args: Found["args"],
  none: Found["none"],
  after: string,
): Pick<ArgumentTags, "none" | "last"> & Pick<ToolForm, "between" | "ending"> {
  const end = args.ending.slice(after.length);
  let common = 0;
  while (
    common < Math.min(end.length, none.ending.length) &&
    end.at(-1 - common) === none.ending.at(-1 - common)
  )
    common++;
  for (let length = common; length >= 0; length--) {
    const [last, own] = [end, none.ending].map((text) => text.slice(0, text.length - length)) as [
      string,
      string,
    ];
    const between = args.between?.startsWith(after + last)
      ? args.between.slice(after.length + last.length)
      : null;
    if (between !== null && none.between === own + between)
      return { none: own, last, between, ending: end.slice(last.length) };
  }
  const last = end.slice(0, end.length - common);
  return {
    none: none.ending.slice(0, none.ending.length - common),
    last,
    between: null,
    ending: end.slice(last.length),
  };
}

function commonStart(one: string, other: string): string {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return one.slice(0, length);
}
