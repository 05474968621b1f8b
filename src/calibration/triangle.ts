/** Square matrices of D rows, row after row, in float64; the few operations that a covariance needs. */
export type Matrix = Float64Array;

/**
 * The Cholesky factor L of a symmetric positive definite matrix A = L·Lᵀ: its lower triangle (what is above it is not
 * read and stays 0).
 */
export function choleskyOf(matrix: Matrix, dimension: number): Matrix {
  const factor = new Float64Array(dimension * dimension);
  for (let row = 0; row < dimension; row++)
    for (let column = 0; column <= row; column++) {
      let sum = matrix[row * dimension + column] as number;
      for (let k = 0; k < column; k++)
        sum -= (factor[row * dimension + k] as number) * (factor[column * dimension + k] as number);
      factor[row * dimension + column] =
        row === column ? Math.sqrt(sum) : sum / (factor[column * dimension + column] as number);
    }
  return factor;
}

/** L⁻¹·x by forward substitution. */
export function solveLower(factor: Matrix, x: Float64Array): Float64Array {
  const solved = new Float64Array(x.length);
  for (let row = 0; row < x.length; row++) {
    let sum = x[row] as number;
    for (let k = 0; k < row; k++) sum -= (factor[row * x.length + k] as number) * (solved[k] as number);
    solved[row] = sum / (factor[row * x.length + row] as number);
  }
  return solved;
}

/** L⁻¹: the rows of its lower triangle, one after the other. */
export function packedInverse(factor: Matrix, dimension: number): Float64Array {
  const columns = Array.from({ length: dimension }, (_, column) => {
    const unit = new Float64Array(dimension);
    unit[column] = 1;
    return solveLower(factor, unit);
  });
  const packed = new Float64Array((dimension * (dimension + 1)) / 2);
  let at = 0;
  for (let row = 0; row < dimension; row++)
    for (let column = 0; column <= row; column++) packed[at++] = columns[column]?.[row] as number;
  return packed;
}

/** A + weight·x·xᵀ, in place (lower triangle). */
export function addOuter(matrix: Matrix, x: Float64Array, weight: number): void {
  for (let row = 0; row < x.length; row++)
    for (let column = 0; column <= row; column++) {
      const at = row * x.length + column;
      matrix[at] = (matrix[at] as number) + weight * (x[row] as number) * (x[column] as number);
    }
}
