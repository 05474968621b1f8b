const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** The bits of the float16 nearest to a number (half away from zero); for |value| from 2⁻¹⁴ to 65504, or near 0. */
export function toFloat16(value: number): number {
  single[0] = value;
  const word = bits[0] as number;
  const sign = (word >>> 16) & 0x8000;
  const rounded = (word & 0x7fffffff) + 0x1000;
  const exponent = (rounded >>> 23) - 112;
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((rounded >>> 13) & 0x3ff);
}
