import { assert, assertAlmostEquals } from "@std/assert";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { randomOf } from "../conformance/random.ts";
import { symmetricEigen } from "./eigen.ts";

/** A symmetric matrix of rank `rank` at most. */
function symmetric(seed: number, n: number, rank: number): Float64Array {
  const x = randomOf("eigen", seed).normals(n * rank);
  const dot = (i: number, j: number): number =>
    Array.from({ length: rank }, (_, k) => (x[i * rank + k] ?? 0) * (x[j * rank + k] ?? 0)).reduce((a, b) => a + b, 0);
  return Float64Array.from({ length: n * n }, (_, i) => dot(Math.floor(i / n), i % n));
}

Deno.test("values agree with ml-matrix, vectors are orthonormal and give the matrix back, of full and of low rank", () => {
  for (const [n, rank] of [[1, 1], [2, 2], [3, 1], [17, 17], [40, 40], [40, 3], [64, 0]] as const) {
    const a = symmetric(n + rank, n, rank);
    const { values, vectors } = symmetricEigen(a, n);
    const scale = Math.max(1e-9, values[0] ?? 0);
    const oracle = new EigenvalueDecomposition(Matrix.from1DArray(n, n, a), { assumeSymmetric: true }).realEigenvalues.sort((x, y) =>
      y - x
    );
    oracle.forEach((value, i) => assertAlmostEquals(values[i] ?? NaN, value, 1e-10 * scale));
    assert(values.every((value, i) => i === 0 || value <= (values[i - 1] ?? 0)));
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let [dot, back] = [0, 0];
        for (let k = 0; k < n; k++) {
          dot += (vectors[i * n + k] ?? 0) * (vectors[j * n + k] ?? 0);
          back += (vectors[k * n + i] ?? 0) * (values[k] ?? 0) * (vectors[k * n + j] ?? 0);
        }
        assertAlmostEquals(dot, i === j ? 1 : 0, 1e-10);
        assertAlmostEquals(back, a[i * n + j] ?? 0, 1e-10 * scale);
      }
    }
  }
});
