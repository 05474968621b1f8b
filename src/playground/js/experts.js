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
export const expertsOf = (tokens) => [...new Set(tokens.flatMap(({ weights }) => Object.keys(weights)))];

/** For each expert the share of tokens that it moved and its mean weight; and the share that nobody moved. */
export function sharesOf(tokens) {
  const total = Math.max(1, tokens.length);
  const experts = expertsOf(tokens).map((id) => ({
    id,
    share: tokens.filter(({ chosen }) => chosen === id).length / total,
    meanWeight: tokens.reduce((sum, { weights }) => sum + (weights[id] ?? 0), 0) / total,
  }));
  return {
    experts,
    alone: tokens.filter(({ chosen }) => chosen === null).length / total,
    numFlipped: tokens.filter(({ flipped }) => flipped).length,
  };
}
