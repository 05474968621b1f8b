// @ts-check

/** @param {number} share */
export const percent = (share) => `${Math.round(share * 100)} %`;

/** @param {number} logprob */
export function probability(logprob) {
  const p = Math.exp(logprob);
  if (p > 0.9995) return "100 %";
  if (p >= 0.1) return `${(p * 100).toFixed(1)} %`;
  return p >= 0.0001 ? `${(p * 100).toFixed(2)} %` : "< 0.01 %";
}

/** @param {number} value */
export const weight = (value) => value.toFixed(2);

/** @param {number | null} value */
export function nats(value) {
  // JSON has no infinity.
  if (value === null) return "∞";
  if (value === 0) return "0";
  return Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3);
}

/** e to this, as a number of times. @param {number} logRatio */
export function times(logRatio) {
  const ratio = Math.exp(logRatio);
  return `${ratio >= 100 ? ratio.toPrecision(2).replace(/e\+?/, "·10^") : Number(ratio.toPrecision(2))} times`;
}

/** @param {number} ms */
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`;

/** @param {number} count */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const level = Math.min(units.length - 1, count > 0 ? Math.floor(Math.log10(count) / 3) : 0);
  const value = count / 1000 ** level;
  return `${value >= 100 || level === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[level]}`;
}

/** @param {number} number */
export function count(number) {
  const units = ["", " k", " M", " B"];
  const level = Math.min(units.length - 1, number > 0 ? Math.floor(Math.log10(number) / 3) : 0);
  const value = number / 1000 ** level;
  return `${value >= 100 || level === 0 ? value.toFixed(0) : value.toFixed(1)}${units[level]}`;
}

/** A token's text where spaces and line breaks must be seen. @param {string} text */
export function visible(text) {
  if (text === "") return "∅";
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣");
}

/** What to say of something that was thrown. @param {unknown} thrown */
export const reasonOf = (thrown) => (thrown instanceof Error ? thrown.message : String(thrown));
