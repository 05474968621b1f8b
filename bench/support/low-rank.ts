import type { Matrix } from "../../test/support/lora.js";

/** B·A ≈ a matrix: its best approximation of a rank, by subspace iteration on its transpose times itself. */
export interface LowRank {
  name: string;
  /** A [rank][columns] and B [rows][rank], row by row. */
  a: Float32Array;
  b: Float32Array;
  columns: number;
  rows: number;
  rank: number;
}

const numIterations = 30;

export function approximate({ name, columns, rows, values }: Matrix, rank: number): LowRank {
  const seeded = (row: number, column: number) => Math.sin(12.9898 * (row * columns + column + 1));
  let basis = Array.from({ length: rank }, (_, row) =>
    Float64Array.from({ length: columns }, (_each, column) => seeded(row, column)),
  );
  const images = () =>
    basis.map((vector) =>
      Float64Array.from({ length: rows }, (_, row) => {
        let sum = 0;
        for (let at = 0; at < columns; at++) sum += (values[row * columns + at] ?? 0) * (vector[at] ?? 0);
        return sum;
      }),
    );
  for (let iteration = 0; iteration < numIterations; iteration++)
    basis = orthonormal(
      images().map((image) =>
        Float64Array.from({ length: columns }, (_, column) => {
          let sum = 0;
          for (let row = 0; row < rows; row++)
            sum += (values[row * columns + column] ?? 0) * (image[row] ?? 0);
          return sum;
        }),
      ),
    );
  const final = images();
  return {
    ...{ name, columns, rows, rank },
    a: Float32Array.from({ length: rank * columns }, (_, at) => {
      const row = Math.floor(at / columns);
      return basis[row]?.[at % columns] ?? 0;
    }),
    b: Float32Array.from({ length: rows * rank }, (_, at) => final[at % rank]?.[Math.floor(at / rank)] ?? 0),
  };
}

/** Gram-Schmidt. */
function orthonormal(vectors: readonly Float64Array[]) {
  const done: Float64Array<ArrayBuffer>[] = [];
  const dot = (one: Float64Array, other: Float64Array) =>
    one.reduce((sum, value, at) => sum + value * (other[at] ?? 0), 0);
  for (const vector of vectors) {
    let rest = Float64Array.from(vector);
    for (const known of done) {
      const along = dot(rest, known);
      rest = rest.map((value, at) => value - along * (known[at] ?? 0));
    }
    const length = Math.sqrt(dot(rest, rest));
    done.push(rest.map((value) => (length > 0 ? value / length : 0)));
  }
  return done;
}

/** What is added to the matrix. */
export function productOf({ name, a, b, columns, rows, rank }: LowRank): Matrix {
  const values = Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let each = 0; each < rank; each++)
      sum += (b[row * rank + each] ?? 0) * (a[each * columns + column] ?? 0);
    return sum;
  });
  return { name, columns, rows, values };
}
