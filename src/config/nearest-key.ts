/**
 * Number of single-character insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
 * (optimal string alignment), by rows of the usual table.
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

const plain = (key: string): string => key.toLowerCase().replaceAll(/[-_.]/g, "");

/**
 * The known key that was probably meant: the closest within a third of its length; null when none is close.
 * @param most characters in which it may differ, whatever its length
 */
export function nearestKey(given: string, known: readonly string[], most = Infinity): string | null {
  let best: { key: string; distance: number } | null = null;
  // Nothing close to a key of this length exists, and the table would be large.
  if (given.length > 100) return null;
  for (const key of known) {
    const distance = editDistance(plain(given), plain(key));
    const isClose = distance <= Math.min(most, Math.max(1, Math.floor(key.length / 3)));
    if (isClose && (best === null || distance < best.distance)) best = { key, distance };
  }
  return best?.key ?? null;
}

/** `unknown key "tempurature"; did you mean "temperature"?`, or the known keys when none is close. */
export function describeUnknownKey(given: string, known: readonly string[]): string {
  const nearest = nearestKey(given, known);
  const shown = JSON.stringify(given.length > 100 ? `${given.slice(0, 100)}…` : given);
  if (nearest !== null) return `unknown key ${shown}; did you mean "${nearest}"?`;
  return `unknown key ${shown}; known: ${known.join(", ") || "none"}`;
}
