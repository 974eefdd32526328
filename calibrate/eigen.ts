/**
 * Eigenvectors of a symmetric matrix: Householder's reduction to three diagonals, then QL steps with implicit shifts (Wilkinson and Reinsch,
 * Handbook for Automatic Computation II, 1971). About 6 n^3 multiplications in f64.
 * @module
 */

/** Eigenvalues, falling, and unit eigenvectors. */
export interface Eigen {
  /** f64 [n]. */
  readonly values: Float64Array;
  /** f64 [n, n]: row k belongs to value k. */
  readonly vectors: Float64Array;
}

/** Of a f64 [n, n], which stays as it is; it must be symmetric and finite.
 *
 * ```ts
 * import { assertAlmostEquals } from "@std/assert";
 * const { values } = symmetricEigen(Float64Array.of(2, 1, 1, 2), 2);
 * assertAlmostEquals(values[0] ?? 0, 3, 1e-12);
 * assertAlmostEquals(values[1] ?? 0, 1, 1e-12);
 * ```
 */
export function symmetricEigen(a: Float64Array, n: number): Eigen {
  const { diagonal, beside, rows } = tridiagonal(Float64Array.from(a), n);
  for (let l = 0; l < n; l++) settleValue(diagonal, beside, rows, l);
  const order = Array.from(diagonal.keys()).sort((i, j) => (diagonal[j] ?? 0) - (diagonal[i] ?? 0));
  const vectors = new Float64Array(n * n);
  for (const [k, from] of order.entries()) vectors.set(rows[from] ?? [], k * n);
  return { values: Float64Array.from(order, (i) => diagonal[i] ?? 0), vectors };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** `beside[i]` couples i and i + 1. */
  readonly beside: Float64Array;
  /** Q^T with a = Q T Q^T, row by row. */
  readonly rows: ReadonlyArray<Float64Array>;
}

/** Consumes `a`: below its diagonal the reflections remain. */
function tridiagonal(a: Float64Array, n: number): Tridiagonal {
  const beside = new Float64Array(n);
  const weights = new Float64Array(n);
  const product = new Float64Array(n);
  for (let k = 0; k + 2 < n; k++) {
    // The reflection that leaves one number below the diagonal of column k; its vector stays in column k.
    let length = 0;
    for (let i = k + 1; i < n; i++) length += (a[i * n + k] ?? 0) ** 2;
    const head = a[(k + 1) * n + k] ?? 0;
    const below = length - head * head;
    beside[k] = below > 0 ? (head > 0 ? -1 : 1) * Math.sqrt(length) : head;
    if (!(below > 0)) continue;
    const v = Float64Array.from({ length: n }, (_, i) => i <= k ? 0 : a[i * n + k] ?? 0);
    v[k + 1] = head - (beside[k] ?? 0);
    const weight = weights[k] = 2 / (below + (v[k + 1] ?? 0) ** 2);
    let along = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += (a[i * n + j] ?? 0) * (v[j] ?? 0);
      product[i] = weight * sum;
      along += (product[i] ?? 0) * (v[i] ?? 0);
    }
    for (let i = k + 1; i < n; i++) product[i] = (product[i] ?? 0) - weight / 2 * along * (v[i] ?? 0);
    for (let i = k + 1; i < n; i++) {
      const [vi, wi] = [v[i] ?? 0, product[i] ?? 0];
      for (let j = k + 1; j < n; j++) a[i * n + j] = (a[i * n + j] ?? 0) - vi * (product[j] ?? 0) - wi * (v[j] ?? 0);
      a[i * n + k] = vi;
    }
  }
  if (n > 1) beside[n - 2] = a[(n - 1) * n + n - 2] ?? 0;
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * n + i] ?? 0);
  return { diagonal, beside, rows: reflected(a, weights, n) };
}

/** The product of the reflections, transposed. */
function reflected(a: Float64Array, weights: Float64Array, n: number): ReadonlyArray<Float64Array> {
  const rows = Array.from({ length: n }, (_, i) => {
    const row = new Float64Array(n);
    row[i] = 1;
    return row;
  });
  for (let k = n - 3; k >= 0; k--) {
    const weight = weights[k] ?? 0;
    if (weight === 0) continue;
    for (let r = k + 1; r < n; r++) {
      const row = rows[r] ?? new Float64Array(n);
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += (row[j] ?? 0) * (a[j * n + k] ?? 0);
      for (let j = k + 1; j < n; j++) row[j] = (row[j] ?? 0) - weight * sum * (a[j * n + k] ?? 0);
    }
  }
  return rows;
}

/** QL steps until value l is free of its neighbour; rotations go to `rows`. */
function settleValue(d: Float64Array, e: Float64Array, rows: ReadonlyArray<Float64Array>, l: number): void {
  const at = (of: Float64Array, i: number): number => of[i] ?? 0;
  for (let step = 0; step < 60; step++) {
    let m = l;
    while (m + 1 < d.length && Math.abs(at(e, m)) > 2 ** -52 * (Math.abs(at(d, m)) + Math.abs(at(d, m + 1)))) m++;
    if (m === l) return;
    const half = (at(d, l + 1) - at(d, l)) / (2 * at(e, l));
    let g = at(d, m) - at(d, l) + at(e, l) / (half + (half < 0 ? -1 : 1) * Math.sqrt(half * half + 1));
    let [s, c, p] = [1, 1, 0];
    let i = m - 1;
    for (; i >= l; i--) {
      const [f, b] = [s * at(e, i), c * at(e, i)];
      const r = Math.sqrt(f * f + g * g);
      e[i + 1] = r;
      if (r === 0) {
        d[i + 1] = at(d, i + 1) - p;
        e[m] = 0;
        break;
      }
      [s, c] = [f / r, g / r];
      g = at(d, i + 1) - p;
      const q = (at(d, i) - g) * s + 2 * c * b;
      p = s * q;
      d[i + 1] = g + p;
      g = c * q - b;
      turn(rows[i], rows[i + 1], c, s);
    }
    if (i >= l) continue;
    d[l] = at(d, l) - p;
    e[l] = g;
    e[m] = 0;
  }
}

/** Rotates two rows. */
function turn(a: Float64Array | undefined, b: Float64Array | undefined, c: number, s: number): void {
  if (a === undefined || b === undefined) return;
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[k] ?? 0, b[k] ?? 0];
    b[k] = s * x + c * y;
    a[k] = c * x - s * y;
  }
}
