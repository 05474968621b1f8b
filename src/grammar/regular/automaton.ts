import { allPoints, intersect, partsOf, union, type CodePoints } from "./code-points.js";
import { NotRegular, type Expression } from "./expression.js";

/**
 * Deterministic automata of regular languages: what holds a text to several conditions at once, and can be written as
 * a grammar. State 0 is where a text begins.
 */
export interface Automaton {
  readonly edges: readonly (readonly Edge[])[];
  /** By state: the text may end here. */
  readonly accepts: readonly boolean[];
}

export interface Edge {
  points: CodePoints;
  to: number;
}

/**
 * Counts what is done for a request, in units of 20 to 100 ns (one range of characters looked at): it throws past what
 * one may cost.
 */
export type Spend = (work: number) => void;

/** For what no request decides. */
export const uncounted: Spend = () => undefined;

/** What is written down of one language at most. */
const mostStates = 2_000;
const mostPieces = 8_000;
/** Of one automaton. */
const mostWork = 500_000;
/** Of a state, and of a step to another, beside what is compared. */
const stateWork = 20;
/** Of a piece in a state: it is found, sorted and written into the state's key. */
const pieceWork = 10;

/** Pieces of an expression, joined by steps that take no character. */
interface Piece {
  moves: Edge[];
  free: number[];
  /** Steps that are taken only where nothing stands before, or after. */
  atStart: number[];
  atEnd: number[];
}

class PieceWriter {
  readonly pieces: Piece[] = [];
  readonly #spend: Spend;

  constructor(spend: Spend) {
    this.#spend = spend;
  }

  add(): number {
    this.#spend(stateWork);
    if (this.pieces.length >= mostPieces) throw new NotRegular("it is too large");
    return this.pieces.push({ moves: [], free: [], atStart: [], atEnd: [] }) - 1;
  }

  /** Writes an expression behind a piece. @returns the piece at its end */
  write(expression: Expression, from: number): number {
    const piece = this.pieces[from] as Piece;
    const to = this.add();
    switch (expression.type) {
      case "set":
        piece.moves.push({ points: expression.points, to });
        return to;
      case "start":
        piece.atStart.push(to);
        return to;
      case "end":
        piece.atEnd.push(to);
        return to;
      case "sequence":
        return expression.parts.reduce((at, part) => this.write(part, at), from);
      case "choice":
        for (const branch of expression.branches) this.#join(this.write(branch, this.#after(from)), to);
        return to;
      case "repeat":
        return this.#repeat(expression, from);
    }
  }

  #repeat({ part, least, most }: Extract<Expression, { type: "repeat" }>, from: number): number {
    let at = from;
    for (let count = 0; count < least; count++) at = this.write(part, at);
    const end = this.add();
    if (most === null) {
      const loop = this.#after(at);
      this.#join(this.write(part, loop), loop);
      this.#join(loop, end);
      return end;
    }
    this.#join(at, end);
    for (let count = least; count < most; count++) {
      at = this.write(part, at);
      this.#join(at, end);
    }
    return end;
  }

  #after(from: number): number {
    const piece = this.add();
    this.#join(from, piece);
    return piece;
  }

  #join(from: number, to: number): void {
    (this.pieces[from] as Piece).free.push(to);
  }
}

/**
 * @param spend is told what it takes
 * @param isSearched the expression may match any part of the text, as `pattern` means it; else the whole
 * @throws NotRegular where it would be too large
 */
export function automatonOf(expression: Expression, spend: Spend, isSearched = false): Automaton {
  const writer = new PieceWriter(spend);
  const start = writer.add();
  const anything: Expression = {
    type: "repeat",
    part: { type: "set", points: allPoints },
    least: 0,
    most: null,
  };
  const parts = isSearched ? [anything, expression, anything] : [expression];
  const end = writer.write({ type: "sequence", parts }, start);
  return determined(writer.pieces, { start, end, spend });
}

/** Where a text may stand once it stands at these pieces. */
function reached(
  pieces: readonly Piece[],
  from: readonly number[],
  at: { start: boolean; end: boolean },
): number[] {
  const seen = new Set(from);
  // A set grows while it is walked.
  for (const index of seen) {
    const piece = pieces[index] as Piece;
    for (const next of piece.free) seen.add(next);
    if (at.start) for (const next of piece.atStart) seen.add(next);
    if (at.end) for (const next of piece.atEnd) seen.add(next);
  }
  return [...seen].sort((a, b) => a - b);
}

function determined(
  pieces: readonly Piece[],
  { start, end, spend }: { start: number; end: number; spend: Spend },
): Automaton {
  const builder = new AutomatonBuilder<number[]>((state) => state.join(), spend);
  builder.explore(reached(pieces, [start], { start: true, end: false }), (state, isFirst) => {
    const moves = state.flatMap((index) => (pieces[index] as Piece).moves);
    builder.spend(state.length + moves.reduce((sum, { points }) => sum + points.length, 0) ** 2);
    const edges = partsOf(moves.map(({ points }) => points)).map((points) => {
      const low = points[0]?.[0] ?? 0;
      const to = moves
        .filter((move) => intersect(move.points, [[low, low]]).length > 0)
        .map((move) => move.to);
      const next = reached(pieces, to, { start: false, end: false });
      builder.spend(next.length * pieceWork);
      return { points, to: next };
    });
    return { edges, accepts: reached(pieces, state, { start: isFirst, end: true }).includes(end) };
  });
  return builder.build();
}

/**
 * Texts that are in both languages.
 *
 * @param spend is told what it takes
 * @throws NotRegular where they would be too large
 */
export function both(a: Automaton, b: Automaton, spend: Spend): Automaton {
  const builder = new AutomatonBuilder<[number, number]>((state) => state.join(), spend);
  builder.explore([0, 0], ([first, second]) => {
    builder.spend(rangesAt(a, first) * rangesAt(b, second));
    const edges = (a.edges[first] ?? []).flatMap((left) =>
      (b.edges[second] ?? []).flatMap((right) => {
        const points = intersect(left.points, right.points);
        return points.length > 0 ? [{ points, to: [left.to, right.to] as [number, number] }] : [];
      }),
    );
    return { edges, accepts: (a.accepts[first] ?? false) && (b.accepts[second] ?? false) };
  });
  return builder.build();
}

const rangesAt = ({ edges }: Automaton, state: number): number =>
  (edges[state] ?? []).reduce((sum, { points }) => sum + points.length, 0);

/** Makes an automaton whose states are found one after the other. */
export class AutomatonBuilder<State> {
  readonly #keyOf: (state: State) => string | number;
  readonly #numberOf = new Map<string | number, number>();
  readonly #states: State[] = [];
  readonly #edges: Edge[][] = [];
  readonly #accepts: boolean[] = [];
  readonly #spend: Spend;
  #work = 0;

  constructor(keyOf: (state: State) => string | number, spend: Spend) {
    this.#keyOf = keyOf;
    this.#spend = spend;
  }

  /** @throws NotRegular past what one automaton may cost */
  spend(work: number): void {
    this.#spend(work);
    this.#work += work;
    if (this.#work > mostWork) throw new NotRegular("it takes too long to read");
  }

  explore(
    start: State,
    look: (
      state: State,
      isFirst: boolean,
    ) => { edges: { points: CodePoints; to: State }[]; accepts: boolean },
  ): void {
    this.#number(start);
    for (let at = 0; at < this.#states.length; at++) {
      const { edges, accepts } = look(this.#states[at] as State, at === 0);
      this.spend(stateWork * (1 + edges.length));
      this.#accepts.push(accepts);
      this.#edges.push(edges.map(({ points, to }) => ({ points, to: this.#number(to) })));
    }
  }

  build(): Automaton {
    return trimmed({ edges: this.#edges, accepts: this.#accepts });
  }

  #number(state: State): number {
    const key = this.#keyOf(state);
    const known = this.#numberOf.get(key);
    if (known !== undefined) return known;
    if (this.#states.length >= mostStates) throw new NotRegular("it is too large");
    this.#numberOf.set(key, this.#states.length);
    return this.#states.push(state) - 1;
  }
}

/** Without steps from which no text comes to an end; steps to one state are one. */
export function trimmed({ edges, accepts }: Automaton): Automaton {
  const before = edges.map((): number[] => []);
  edges.forEach((from, index) => {
    for (const { to } of from) before[to]?.push(index);
  });
  const living = new Set(accepts.flatMap((isEnd, index) => (isEnd ? [index] : [])));
  for (const index of living) for (const from of before[index] ?? []) living.add(from);
  const kept = edges.map((from) => {
    const byTarget = new Map<number, CodePoints>();
    for (const { points, to } of from)
      if (living.has(to)) {
        const known = byTarget.get(to);
        byTarget.set(to, known === undefined ? points : union(known, points));
      }
    return [...byTarget].map(([to, points]) => ({ points, to }));
  });
  return { edges: kept, accepts };
}

export function isEmpty({ edges, accepts }: Automaton): boolean {
  return accepts[0] !== true && (edges[0]?.length ?? 0) === 0;
}

export function acceptsText({ edges, accepts }: Automaton, text: string): boolean {
  let at: number | undefined = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    at = edges[at]?.find(({ points }) => points.some(([low, high]) => low <= point && point <= high))?.to;
    if (at === undefined) return false;
  }
  return accepts[at] ?? false;
}
