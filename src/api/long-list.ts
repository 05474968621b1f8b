import { z } from "zod";

/** What a long list is made of. */
interface LongListOptions<Element> {
  least: number;
  most: number;
  isElement: (value: unknown) => value is Element;
  /** `expected …` of an element that is none. */
  expected: string;
  /** JSON Schema of an element. */
  items: Record<string, unknown>;
}

/**
 * A list that may be as long as a body allows. One loop goes over it, up to the first element at fault: zod's own
 * lists make an object for each.
 */
export function longList<Element>({ least, most, isElement, expected, items }: LongListOptions<Element>) {
  const list = z
    .unknown()
    .superRefine((value, context) => {
      // Of a union, this branch is meant where the elements are numbers at least.
      const problem = (message: string, path: number[] = [], isMeant = false) =>
        context.addIssue({ code: "custom", message, path, input: value, continue: isMeant });
      if (!Array.isArray(value))
        context.addIssue({ code: "invalid_type", expected: "array", input: value, continue: false });
      else if (value.length < least) problem(`expected at least ${least} entries`);
      else if (value.length > most) problem(`expected at most ${most} entries`);
      else {
        const elements = value as unknown[];
        const index = elements.findIndex((element) => !isElement(element));
        if (index >= 0) problem(`expected ${expected}`, [index], typeof elements[index] === "number");
      }
    })
    .meta({ type: "array", items, minItems: least, maxItems: most });
  return list as z.ZodType<Element[]>;
}

const largestId = 2 ** 31 - 1;

/** Token ids; whether the vocabulary has them is asked where it is known. */
export const tokenIds = ({ least = 1, most }: { least?: number; most: number }) =>
  longList({
    least,
    most,
    isElement: (value): value is number =>
      Number.isInteger(value) && (value as number) >= 0 && (value as number) <= largestId,
    expected: "a token id",
    items: { type: "integer", minimum: 0, maximum: largestId },
  });
