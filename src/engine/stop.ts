/** The earliest occurrence of any stop string; of two at the same place, the longer. */
export function findStop(text: string, stops: readonly string[]): { index: number; stop: string } | null {
  let best: { index: number; stop: string } | null = null;
  for (const stop of stops) {
    const index = text.indexOf(stop);
    if (index < 0) continue;
    if (best === null || index < best.index || (index === best.index && stop.length > best.stop.length))
      best = { index, stop };
  }
  return best;
}

/** Length of the longest end of `text` that is a proper beginning of a stop string: it must not be shown yet. */
export function heldLength(text: string, stops: readonly string[]): number {
  let held = 0;
  for (const stop of stops)
    for (let length = Math.min(stop.length - 1, text.length); length > held; length--)
      if (text.endsWith(stop.slice(0, length))) held = length;
  return held;
}
