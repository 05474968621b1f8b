// @ts-check
/**
 * @typedef {Record<string, string>} Labels
 * @typedef {Map<string, { labels: Labels; value: number }[]>} Metrics samples by name
 */

/** Reads Prometheus' text format. @param {string} text */
export function parseMetrics(text) {
  /** @type {Metrics} */
  const samplesOf = new Map();
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const [, name = "", labels = "", value] = match;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, given]) => [key, given]);
    const samples = samplesOf.get(name) ?? [];
    samplesOf.set(name, samples);
    samples.push({ labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samplesOf;
}

/**
 * The sum of all samples of a name whose labels match.
 *
 * @param {Metrics} metrics
 * @param {string} name
 * @param {Labels} labels
 */
export function total(metrics, name, labels = {}) {
  return (metrics.get(name) ?? [])
    .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

/**
 * Mean of a histogram's observations between two readings; null where there were none.
 *
 * @param {Metrics} before
 * @param {Metrics} after
 * @param {string} name
 * @param {Labels} labels
 */
export function meanBetween(before, after, name, labels = {}) {
  const count = total(after, `${name}_count`, labels) - total(before, `${name}_count`, labels);
  const sum = total(after, `${name}_sum`, labels) - total(before, `${name}_sum`, labels);
  return count > 0 ? sum / count : null;
}
