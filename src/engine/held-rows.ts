/** Copies of one model's rows that outlive the decode that made them. Buffers are used again. */
export class HeldRows {
  readonly #free: Float32Array[] = [];

  copy(row: Float32Array): HeldRow {
    const buffer = this.#free.pop() ?? new Float32Array(0);
    const values = buffer.length === row.length ? buffer : new Float32Array(row.length);
    values.set(row);
    return { values, release: () => void this.#free.push(values) };
  }
}

export interface HeldRow {
  values: Float32Array;
  /** To be called once. */
  release: () => void;
}
