/** Sets of code points, as ranges in order and apart from each other. Surrogates are in none. */

export type Range = readonly [low: number, high: number];
export type CodePoints = readonly Range[];

const largestPoint = 0x10ffff;
const characters: CodePoints = [
  [0, 0xd7ff],
  [0xe000, largestPoint],
];

/** Every character. */
export const allPoints = characters;
export const noPoints: CodePoints = [];

/** The set of what is in any of these ranges, which may be in any order and overlap. */
export function pointsOf(ranges: readonly Range[]): CodePoints {
  return intersect(joined(ranges), characters);
}

export function pointsIn(text: string): CodePoints {
  return pointsOf(
    Array.from(text, (character) => pointAt(character)).map((point) => [point, point] as const),
  );
}

export function pointAt(character: string): number {
  return character.codePointAt(0) ?? 0;
}

export function union(...sets: readonly CodePoints[]): CodePoints {
  return joined(sets.flat());
}

export function complement(set: CodePoints): CodePoints {
  const gaps: Range[] = [];
  let next = 0;
  for (const [low, high] of set) {
    if (low > next) gaps.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= largestPoint) gaps.push([next, largestPoint]);
  return intersect(gaps, characters);
}

export function intersect(a: CodePoints, b: CodePoints): CodePoints {
  const common: Range[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [lowA, highA] = a[i] as Range;
    const [lowB, highB] = b[j] as Range;
    const [low, high] = [Math.max(lowA, lowB), Math.min(highA, highB)];
    if (low <= high) common.push([low, high]);
    if (highA < highB) i++;
    else j++;
  }
  return common;
}

export function holds(set: CodePoints, point: number): boolean {
  return set.some(([low, high]) => low <= point && point <= high);
}

function joined(ranges: readonly Range[]): CodePoints {
  const whole: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = whole.at(-1);
    if (low > high) continue;
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else whole.push([low, high]);
  }
  return whole;
}

/** Divides the code points into parts such that each of the sets is made of whole parts; what is in none is left out. */
export function partsOf(sets: readonly CodePoints[]): CodePoints[] {
  const cuts = new Set<number>();
  for (const set of sets)
    for (const [low, high] of set) {
      cuts.add(low);
      cuts.add(high + 1);
    }
  const edges = [...cuts].sort((a, b) => a - b);
  const parts = new Map<string, Range[]>();
  edges.slice(0, -1).forEach((low, index) => {
    const high = (edges[index + 1] as number) - 1;
    const key = sets.map((set) => (holds(set, low) ? "1" : "0")).join("");
    if (!key.includes("1")) return;
    const known = parts.get(key);
    if (known === undefined) parts.set(key, [[low, high]]);
    else known.push([low, high]);
  });
  return [...parts.values()].map(joined);
}
