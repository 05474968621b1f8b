/** Prometheus' text format: name to samples, each with labels and a value. */
export function parseMetrics(text) {
  const samplesOf = new Map();
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const [, name, labels = "", value] = match;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, given]) => [key, given]);
    if (!samplesOf.has(name)) samplesOf.set(name, []);
    samplesOf.get(name).push({ labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samplesOf;
}

/** The sum of all samples of a name whose labels match. */
export function total(metrics, name, labels = {}) {
  return (metrics.get(name) ?? [])
    .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

/** Mean of a histogram's observations between two readings; null where there were none. */
export function meanBetween(before, after, name, labels = {}) {
  const count = total(after, `${name}_count`, labels) - total(before, `${name}_count`, labels);
  const sum = total(after, `${name}_sum`, labels) - total(before, `${name}_sum`, labels);
  return count > 0 ? sum / count : null;
}
