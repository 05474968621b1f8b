/** Colours of experts: Okabe and Ito's palette, the same for an expert wherever it appears. */

const numColours = 7;
const order = new Map();

export function knowExperts(configs) {
  for (const { experts } of configs) for (const { id } of experts) colourClass(id);
}

/** A class that sets `--expert`. */
export function colourClass(id) {
  if (!order.has(id)) order.set(id, order.size);
  return `expert-${order.get(id) % numColours}`;
}

export function colourOf(id) {
  const index = Number(colourClass(id).slice("expert-".length));
  return cssColour(`--expert-${index}`);
}

export const cssColour = (variable) =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

/** Ids of the experts that a trace speaks of. */
export const expertsOf = (tokens) => [
  ...new Set(
    tokens
      .flatMap(({ weights, shares }) => [...Object.keys(weights), ...Object.keys(shares ?? {})])
      .filter((id) => id !== "base"),
  ),
];

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** Whether the base was asked, so that something was weighed; where experts settle a token, nobody needs it. */
export const wasWeighed = ({ flipped }) => flipped !== null;

/**
 * For each expert its share: of a mixture the mean of its shares, otherwise of how many tokens it moved; `alone` is
 * what is left to the base.
 */
export function sharesOf(tokens) {
  const isMixture = tokens.some(({ shares }) => shares);
  const shareOf = (id, isMover) =>
    isMixture ? mean(tokens.map(({ shares }) => shares?.[id] ?? 0)) : mean(tokens.map(isMover));
  return {
    isMixture,
    experts: expertsOf(tokens).map((id) => ({
      id,
      share: shareOf(id, ({ chosen }) => Number(chosen === id)),
      meanWeight: mean(tokens.filter(wasWeighed).map(({ weights }) => weights[id] ?? 0)),
    })),
    alone: shareOf("base", ({ chosen }) => Number(chosen === null)),
    numFlipped: tokens.filter(({ flipped }) => flipped).length,
  };
}

/** How strongly a token was moved, 0 to 1: by its expert's share of a mixture, or by weight within the bounds. */
export function intensityOf({ chosen, weights, shares }, config) {
  if (chosen === null) return 0;
  if (weights[chosen] === undefined) return 1;
  if (shares) return shares[chosen];
  const fullWeight = config?.experts.find(({ id }) => id === chosen)?.bounds[1] || 2;
  return Math.min(1, Math.abs(weights[chosen]) / fullWeight);
}
