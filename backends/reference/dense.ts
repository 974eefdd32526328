/**
 * Ops over whole matrices: `embed`, `norm`, `matmul`, `argmax`.
 * @module
 */
import { at, type Kernel } from "./kernel.ts";

/** out[i] = scale * row ids[i] of the table. */
export const embed: Kernel<"embed"> = ({ m, dim, scale }, operands) => {
  const [table, ids, out] = [operands.f32("table"), operands.u32("ids"), operands.f32("out")];
  for (let i = 0; i < m; i++) {
    const row = at(ids, i) * dim;
    for (let c = 0; c < dim; c++) out[i * dim + c] = Math.fround(scale) * at(table, row + c);
  }
};

/** RMS norm, Zhang and Sennrich 2019, equation 4: x / sqrt(mean(x^2) + eps) * weight. */
export const norm: Kernel<"norm"> = ({ rows, dim, eps }, operands) => {
  const [x, weight, out] = [operands.f32("x"), operands.f32("weight"), operands.f32("out")];
  for (let r = 0; r < rows; r++) {
    let energy = 0;
    for (let c = 0; c < dim; c++) energy += at(x, r * dim + c) ** 2;
    const inverse = 1 / Math.sqrt(energy / dim + Math.fround(eps));
    for (let c = 0; c < dim; c++) out[r * dim + c] = at(x, r * dim + c) * inverse * at(weight, c);
  }
};

/** out[m, n] = x[m] · weight[n] + bias[n] (+ out[m, n]). */
export const matmul: Kernel<"matmul"> = ({ m, n, k, accumulate }, operands) => {
  const [x, weight, bias, out] = [operands.f32("x"), operands.f32("weight"), operands.f32("bias"), operands.f32("out")];
  const biased = operands.given("bias");
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < m; i++) {
      const start = (biased ? at(bias, j) : 0) + (accumulate ? at(out, i * n + j) : 0);
      out[i * n + j] = start + dot(x, i * k, weight, j * k, k);
    }
  }
};

/** Four sums, because one long chain of additions would run at a quarter of the speed. */
function dot(a: Float32Array, atA: number, b: Float32Array, atB: number, count: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const whole = count - count % 4;
  for (let c = 0; c < whole; c += 4) {
    s0 += (a[atA + c] ?? NaN) * (b[atB + c] ?? NaN);
    s1 += (a[atA + c + 1] ?? NaN) * (b[atB + c + 1] ?? NaN);
    s2 += (a[atA + c + 2] ?? NaN) * (b[atB + c + 2] ?? NaN);
    s3 += (a[atA + c + 3] ?? NaN) * (b[atB + c + 3] ?? NaN);
  }
  for (let c = whole; c < count; c++) s0 += (a[atA + c] ?? NaN) * (b[atB + c] ?? NaN);
  return s0 + s1 + (s2 + s3);
}

/** Index of the largest number per row, or none. */
export const argmax: Kernel<"argmax"> = ({ m, n }, operands) => {
  const [x, out] = [operands.f32("x"), operands.u32("out")];
  for (let i = 0; i < m; i++) {
    const row = x.subarray(i * n, (i + 1) * n);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    out[i] = row.every((value) => value < Infinity) && most > -Infinity ? row.indexOf(most) : 0xFFFFFFFF;
  }
};
