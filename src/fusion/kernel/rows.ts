import { ShouldersError } from "../../errors.js";
import type { LogitsRows } from "../types.js";

/** What a kernel is made for: rows of at most this length, of base, reference and at most so many experts. */
export interface KernelCapacity {
  vocabularySize: number;
  numExperts: number;
}

/**
 * Logits further than this below their row's best (in nats: probability 0 a hundred million times over) are
 * taken to be this far below, so that masks such as −3.4e38 keep every number finite.
 */
export const deepestLogit = -1e9;

/** Raises logits far below the row's best to the deepest that counts. */
export function raiseDeepest(logits: Float32Array, best: number): void {
  for (let token = 0; token < logits.length; token++)
    logits[token] = Math.max(logits[token] as number, best + deepestLogit);
}

/** Two rows differ by a constant where no difference departs from the mean by more than this · |logits|. */
export const constantShiftResolution = 2 ** -21;

/** Targets above this cannot come from rounding alone: the shift need not be looked at for being constant. */
export const constantShiftTarget = 1e-3;

/** An expert that gives its best token this probability or more is sure of it (a `gated` plausible set). */
export const sureProbability = 0.95;

/**
 * Logits this near a floor (relative, and nats), and probabilities this near `sureProbability`, are not told from it:
 * rows that are loaded may be moved and rounded.
 */
export const soleMargin = 1e-5;

/** Logits are padded to whole blocks of this many. */
const blockLength = 16;

/** Length of a row in memory. */
export function padded(length: number): number {
  return Math.ceil(length / blockLength) * blockLength;
}

/** Length V of the part common to all rows. @throws ShouldersError `rows_invalid` where the rows do not fit. */
export function commonLength(rows: LogitsRows, capacity: KernelCapacity): number {
  const { base, reference, experts } = rows;
  if (experts.length > 0 && reference === null)
    throw new ShouldersError("rows_invalid", "Rows of experts need the reference's row beside them.");
  if (experts.length > capacity.numExperts)
    throw new ShouldersError(
      "rows_invalid",
      `${experts.length} rows of experts were given to a kernel made for ${capacity.numExperts}.`,
    );
  const lengths = [base, ...(reference ? [reference] : []), ...experts].map((row) => row.length);
  const length = Math.min(...lengths);
  if (length === 0) throw new ShouldersError("rows_invalid", "A row of logits is empty.");
  if (length > capacity.vocabularySize)
    throw new ShouldersError(
      "rows_invalid",
      `Rows of ${length} logits were given to a kernel made for ${capacity.vocabularySize}.`,
    );
  return length;
}

/** Whose row it is: experts by their place among the rows. */
export type RowOwner = "base" | "reference" | { expert: number };

/** A row that cannot be fused, as data, so that whoever knows the models can name them. */
export class NonFiniteRowError extends ShouldersError {
  /** null: each row is well by itself, and no token is finite in all. */
  readonly owner: RowOwner | null;
  /** What is wrong with it: "holds NaN at token 7". */
  readonly fault: string;

  /** @param nameOf what the owner's row is called at the beginning of a sentence. */
  constructor(owner: RowOwner | null, fault: string, nameOf: (owner: RowOwner) => string = rowName) {
    super("non_finite_logits", `${owner === null ? "No token" : nameOf(owner)} ${fault}.`);
    this.owner = owner;
    this.fault = fault;
  }
}

function rowName(owner: RowOwner): string {
  return typeof owner === "string" ? `The ${owner}'s row` : `The row of expert ${owner.expert}`;
}

/**
 * Looks through the first `length` logits of each row. Returns the masked tokens (−Infinity in any row).
 *
 * @throws NonFiniteRowError for NaN, +Infinity, or where no token is finite.
 */
export function findMasked(rows: LogitsRows, length: number): number[] {
  const { base, reference, experts } = rows;
  const owned: [RowOwner, Float32Array][] = [["base", base]];
  if (reference) owned.push(["reference", reference]);
  experts.forEach((row, expert) => owned.push([{ expert }, row]));
  const masked = new Set<number>();
  for (const [owner, row] of owned) {
    let numFinite = length;
    for (let token = 0; token < length; token++) {
      const logit = row[token] as number;
      if (logit === -Infinity) {
        masked.add(token);
        numFinite--;
      } else if (!Number.isFinite(logit))
        throw new NonFiniteRowError(owner, `holds ${logit} at token ${token}`);
    }
    if (numFinite === 0) throw new NonFiniteRowError(owner, "holds no finite logit");
  }
  if (masked.size === length) throw new NonFiniteRowError(null, "is finite in every row");
  return [...masked];
}

/**
 * What a mixture is made of must fit together.
 *
 * @throws ShouldersError `rows_invalid` for components of different length, or where none has a share above 0.
 */
export function checkComponents(lengths: readonly number[], shares: readonly number[]): void {
  const stranger = lengths.find((length) => length !== lengths[0]);
  if (stranger !== undefined)
    throw new ShouldersError(
      "rows_invalid",
      `Rows of ${lengths[0]} and of ${stranger} logits do not make a mixture.`,
    );
  if (!shares.some((share) => share > 0))
    throw new ShouldersError("rows_invalid", "No component of the mixture has a share above 0.");
}
