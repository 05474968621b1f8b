// @ts-check
/** @typedef {import("../../wire/token-record.js").TokenRecord} TokenRecord */

/** Colours of experts: Okabe and Ito's palette, the same for an expert wherever it appears. */

const numColours = 7;
/** @type {Map<string, number>} */
const order = new Map();

/** @param {import("../../wire/config.js").ConfigBody[]} configs */
export function knowExperts(configs) {
  for (const { experts } of configs) for (const { id } of experts) colourClass(id);
}

/** A class that sets `--expert`. @param {string} id */
export function colourClass(id) {
  const place = order.get(id) ?? order.size;
  order.set(id, place);
  return `expert-${place % numColours}`;
}

/** @param {string} id */
export function colourOf(id) {
  const index = Number(colourClass(id).slice("expert-".length));
  return cssColour(`--expert-${index}`);
}

/** @param {string} variable */
export const cssColour = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

/** Ids of the experts that a trace speaks of. @param {TokenRecord[]} tokens */
export const expertsOf = (tokens) =>
  [
    ...new Set(
      tokens.flatMap(({ weights, shares }) => [...Object.keys(weights), ...Object.keys(shares ?? {})]),
    ),
  ].filter((id) => id !== "base");

/**
 * Whether the base was asked, so that something was weighed; where experts settle a token, nobody needs it.
 *
 * @param {TokenRecord} record
 */
export const wasWeighed = ({ flipped }) => flipped !== null;

/**
 * The expert by which a token was moved: the one that moved it most or, where its weight was 0 and its plausible set
 * decided, the only one there is; null: none.
 *
 * @param {TokenRecord} record
 */
export function moverOf({ chosen, weights, nats }) {
  if (chosen !== null || nats === 0) return chosen;
  const ids = Object.keys(weights);
  return ids.length === 1 ? (ids[0] ?? null) : null;
}

/** How far a token was moved, 0 to 1; where the base was not asked, by all. @param {TokenRecord} record */
export const intensityOf = ({ nats }) => (nats === null ? 1 : 1 - Math.exp(-nats));

/** Whether one can see that it was moved. @param {TokenRecord} record */
export const isMoved = (record) => moverOf(record) !== null && intensityOf(record) >= 0.005;

/** What an answer's records come to, told one after the other. */
export class Tally {
  numTokens = 0;
  numFlipped = 0;
  numContested = 0;
  numUnvouched = 0;
  isMixture = false;
  /** Sum of the base's shares. */
  baseShare = 0;
  /** @type {Map<string, { nats: number; share: number }>} */
  byExpert = new Map();
  /** @type {Map<TokenRecord["decided_by"], number>} */
  decided = new Map();

  /** @param {TokenRecord} record */
  add(record) {
    const { weights, shares, decided_by, nats, flipped, contested, vouch } = record;
    this.numTokens++;
    if (flipped) this.numFlipped++;
    if (contested) this.numContested++;
    if (vouch === "nobody") this.numUnvouched++;
    this.decided.set(decided_by, (this.decided.get(decided_by) ?? 0) + 1);
    for (const id of expertsOf([record])) {
      const sum = this.byExpert.get(id) ?? { nats: 0, share: 0 };
      this.byExpert.set(id, sum);
      sum.share += shares?.[id] ?? 0;
      if (id in weights && moverOf(record) === id) sum.nats += nats ?? 0;
    }
    if (!shares) return;
    this.isMixture = true;
    this.baseShare += shares["base"] ?? 0;
  }
}
