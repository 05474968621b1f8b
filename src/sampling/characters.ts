/** Classes of characters, and UTF-8 as it comes byte by byte. */

/** Code points that may stand at a place: ranges from low to high, both included. */
export interface CharacterClass {
  ranges: readonly (readonly [low: number, high: number])[];
  isNegated: boolean;
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

export function matches({ ranges, isNegated }: CharacterClass, point: number): boolean {
  return ranges.some(([low, high]) => low <= point && point <= high) !== isNegated;
}

/** The smallest code point of the class from low to high, both included; null: none. */
export function firstMatch(characters: CharacterClass, low: number, high: number): number | null {
  const { ranges, isNegated } = characters;
  for (let point = low; point <= high;) {
    const isSurrogate = point >= 0xd800 && point <= 0xdfff;
    if (isSurrogate) point = 0xe000;
    else if (matches(characters, point)) return point;
    else {
      const next = isNegated
        ? Math.max(
            ...ranges.filter((range) => range[0] <= point && point <= range[1]).map((range) => range[1]),
          ) + 1
        : Math.min(...ranges.map(([start]) => start).filter((start) => start > point));
      point = next;
    }
  }
  return null;
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
