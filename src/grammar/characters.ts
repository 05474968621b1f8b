/** Classes of characters, and UTF-8 as it comes byte by byte. */

type Range = readonly [low: number, high: number];

/** Code points that may stand at a place. */
export interface CharacterClass {
  /**
   * Low and high ends in turn, both included, in order and apart from each other, so that half of them can be left
   * out at each look. No surrogates, which are no characters.
   */
  readonly ends: Uint32Array;
}

/** A UTF-8 character of which some bytes are there. */
export interface PartialCharacter {
  value: number;
  numMissing: number;
  /** The smallest code point that may be written with so many bytes. */
  least: number;
}

/** What a vocabulary can write. */
export interface Alphabet {
  /** The shortest character of the class, as bytes each of which is a token; null: there is none. */
  shortest(characters: CharacterClass): readonly number[] | null;
  /** Every byte of longer characters is a token. */
  readonly hasAllBytes: boolean;
}

const largestPoint = 0x10ffff;
const surrogates: Range = [0xd800, 0xdfff];

/** The class that these ranges make, in any order; one that ends before it begins holds nothing. */
export function characterClass(ranges: readonly Range[], isNegated = false): CharacterClass {
  const outside = isNegated ? ranges : gapsOf(ranges);
  return { ends: Uint32Array.from(gapsOf([...outside, surrogates]).flat()) };
}

/** What lies between ranges, in order. */
function gapsOf(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = [];
  let next = 0;
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > high) continue;
    if (low > next) gaps.push([next, Math.min(low - 1, largestPoint)]);
    next = Math.max(next, high + 1);
    if (next > largestPoint) return gaps;
  }
  return [...gaps, [next, largestPoint]];
}

export const allBytes: Alphabet = {
  hasAllBytes: true,
  shortest: (characters) => {
    const point = firstMatch(characters, 0, largestPoint);
    return point === null ? null : encode(point);
  },
};

/** A character after one more byte; null: no UTF-8. */
export function nextCharacter(partial: PartialCharacter | null, byte: number): PartialCharacter | null {
  if (partial !== null) {
    if (byte >> 6 !== 0b10) return null;
    const next = {
      ...partial,
      value: (partial.value << 6) | (byte & 0x3f),
      numMissing: partial.numMissing - 1,
    };
    return rangeOf(next) === null ? null : next;
  }
  if (byte < 0x80) return { value: byte, numMissing: 0, least: 0 };
  if (byte < 0xc2 || byte > 0xf4) return null;
  if (byte < 0xe0) return { value: byte & 0x1f, numMissing: 1, least: 0x80 };
  if (byte < 0xf0) return { value: byte & 0x0f, numMissing: 2, least: 0x800 };
  return { value: byte & 0x07, numMissing: 3, least: 0x10000 };
}

/** The code points that it may become; null: none. */
function rangeOf({ value, numMissing, least }: PartialCharacter): [low: number, high: number] | null {
  const low = Math.max(value << (6 * numMissing), least);
  const high = Math.min(((value + 1) << (6 * numMissing)) - 1, largestPoint);
  const isSurrogate = low >= 0xd800 && high <= 0xdfff;
  return low > high || isSurrogate ? null : [low, high];
}

export function matches(characters: CharacterClass, point: number): boolean {
  return firstMatch(characters, point, point) !== null;
}

/** The smallest code point of the class from low to high, both included; null: none. */
export function firstMatch({ ends }: CharacterClass, low: number, high: number): number | null {
  const start = ends[2 * rangeAt(ends, low)];
  return start === undefined || start > high ? null : Math.max(low, start);
}

/** Which range is the first that does not end before low. */
function rangeAt(ends: Uint32Array, low: number): number {
  let from = 0;
  let to = ends.length >> 1;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((ends[2 * middle + 1] as number) < low) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Whether the character can become one of the class. */
export function canComplete(characters: CharacterClass, partial: PartialCharacter): boolean {
  const range = rangeOf(partial);
  return range !== null && firstMatch(characters, ...range) !== null;
}

/** Whether any bytes that may go on in a character make one of the class of it. */
export function covers({ ends }: CharacterClass, { value, numMissing, least }: PartialCharacter): boolean {
  const low = value << (6 * numMissing);
  const high = ((value + 1) << (6 * numMissing)) - 1;
  const range = rangeAt(ends, low);
  return low >= least && (ends[2 * range] ?? Infinity) <= low && (ends[2 * range + 1] ?? -1) >= high;
}

/** The bytes with which the character can become one of the class; null: it cannot. */
export function completionOf(characters: CharacterClass, partial: PartialCharacter): number[] | null {
  const range = rangeOf(partial);
  const point = range && firstMatch(characters, ...range);
  return point === null ? null : encode(point).slice(-partial.numMissing);
}

function encode(point: number): number[] {
  return [...Buffer.from(String.fromCodePoint(point))];
}
