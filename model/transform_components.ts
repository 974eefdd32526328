/**
 * The components of a transform as a backend multiplies them.
 * @module
 */
import type { WeightSource } from "../backends/backend.ts";
import { bytesIn } from "../run/scratch.ts";
import type { Transform } from "./transform.ts";

/** Channels [from, to) of a token. */
export interface Channels {
  readonly from: number;
  readonly to: number;
}

/** The first components of a transform, in f32. */
export interface Components {
  /** How many: at least one, of zeros where there is none. */
  readonly reach: number;
  /** f32 [reach, width]. */
  readonly basis: Float32Array;
  /** f32 [width]. */
  readonly mean: Float32Array;
}

/** The first `reach` components. */
export const componentsOf = ({ basis, mean, width }: Transform, reach: number): Components => ({
  reach: Math.max(1, reach),
  basis: reach === 0 ? new Float32Array(width) : new Float32Array(new Float16Array(basis.buffer, basis.byteOffset, reach * width)),
  mean,
});

/** Coefficients of the mean of some channels, the others being zero: f32 [reach]. */
export function meanIn({ reach, basis, mean }: Components, { from, to }: Channels): Float32Array {
  return Float32Array.from({ length: reach }, (_, j) => {
    const row = j * mean.length;
    let sum = 0;
    for (let c = from; c < to; c++) sum += (basis[row + c] ?? 0) * (mean[c] ?? 0);
    return sum;
  });
}

/** Some channels of every component, f32 [reach, channels]: what takes numbers to coefficients. */
export function componentRows(name: string, { reach, basis, mean }: Components, { from, to }: Channels): WeightSource {
  const out = new Float32Array(reach * (to - from));
  for (let j = 0; j < reach; j++) out.set(basis.subarray(j * mean.length + from, j * mean.length + to), j * (to - from));
  return { name, type: "F32", rows: reach, cols: to - from, bytes: bytesIn(out), uses: ["matmul"] };
}

/** The same, f32 [channels, reach]: what takes coefficients to numbers. */
export function componentColumns(name: string, { reach, basis, mean }: Components, { from, to }: Channels): WeightSource {
  const out = new Float32Array((to - from) * reach);
  for (let j = 0; j < reach; j++) for (let c = from; c < to; c++) out[(c - from) * reach + j] = basis[j * mean.length + c] ?? 0;
  return { name, type: "F32", rows: to - from, cols: reach, bytes: bytesIn(out), uses: ["matmul"] };
}

/** Numbers that a product adds to every row. */
export const addend = (name: string, numbers: Float32Array): WeightSource => ({
  name,
  type: "F32",
  rows: 1,
  cols: numbers.length,
  bytes: bytesIn(numbers),
  uses: ["vector"],
});
