import { constantShiftResolution } from "../fusion/kernel/rows.js";

/**
 * Whether tuning changed anything here: not where an expert's row is the reference's, or differs from it by a constant
 * within what float32 logits resolve. The first token that differs settles it, so it costs nothing with an expert that
 * is one. Masked tokens (−Infinity in both) are equal.
 */
export function hasShift(expert: Float32Array, reference: Float32Array | null): boolean {
  if (reference === null) return true;
  const length = Math.min(expert.length, reference.length);
  let constant: number | null = null;
  for (let token = 0; token < length; token++) {
    const [e, r] = [expert[token] as number, reference[token] as number];
    if (e === r && !Number.isFinite(e)) continue;
    const shift = e - r;
    constant ??= shift;
    if (!(Math.abs(shift - constant) <= 2 * constantShiftResolution * (Math.abs(e) + Math.abs(r))))
      return true;
  }
  return false;
}
