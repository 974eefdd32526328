/**
 * The components of a transform as a backend multiplies them.
 * @module
 */
import type { WeightSource } from "../backends/backend.ts";
import { type BitPlan, reachOf } from "../cache/bit_plan.ts";
import { bytesIn } from "../run/scratch.ts";
import type { Transform } from "./transform.ts";

/** Channels [from, to) of a token. */
export interface Channels {
  readonly from: number;
  readonly to: number;
}

/** The components of a transform that a plan reaches. */
export interface Components {
  /** How many: at least one, of zeros where there is none. */
  readonly reach: number;
  /** As many with zeros behind them as products take. */
  readonly padded: number;
  /** Products of whole bytes where a plan loses much more than they do. */
  readonly type: "F32" | "Q8_0";
  /** f32 [reach, width]. */
  readonly basis: Float32Array;
  /** f32 [width]. */
  readonly mean: Float32Array;
}

/** Numbers that share a scale in Q8_0, and their bytes. */
const BLOCK = 32;
const BLOCK_BYTES = 34;

/** Share of the energy that a plan loses from which on products are of bytes: these lose 0.0001 of it, a fiftieth as much. */
const COARSE = 0.005;

/** The components that a plan reaches. */
export function componentsOf({ basis, mean, width, energy }: Transform, { groups, error }: Pick<BitPlan, "groups" | "error">): Components {
  const reach = reachOf(groups);
  const type = error < COARSE * energy.reduce((sum, e) => sum + e, 0) ? "F32" : "Q8_0";
  return {
    reach: Math.max(1, reach),
    padded: type === "F32" ? Math.max(1, reach) : Math.max(1, Math.ceil(reach / BLOCK)) * BLOCK,
    type,
    basis: reach === 0 ? new Float32Array(width) : new Float32Array(new Float16Array(basis.buffer, basis.byteOffset, reach * width)),
    mean,
  };
}

/** Coefficients of the mean of some channels, the others being zero: f32 [reach]. */
export function meanIn({ reach, basis, mean }: Components, { from, to }: Channels): Float32Array {
  const out = new Float32Array(reach);
  for (let j = 0; j < reach; j++) {
    const row = j * mean.length;
    let sum = 0;
    for (let c = from; c < to; c++) sum += (basis[row + c] ?? 0) * (mean[c] ?? 0);
    out[j] = sum;
  }
  return out;
}

/** Some channels of every component, [reach, channels]: what takes numbers to coefficients. */
export function componentRows(name: string, { reach, basis, mean, type }: Components, { from, to }: Channels): WeightSource {
  const out = new Float32Array(reach * (to - from));
  for (let j = 0; j < reach; j++) out.set(basis.subarray(j * mean.length + from, j * mean.length + to), j * (to - from));
  return matrix(name, (to - from) % BLOCK === 0 ? type : "F32", reach, to - from, out);
}

/** The same, [channels, padded]: what takes coefficients to numbers. */
export function componentColumns(name: string, { reach, padded, basis, mean, type }: Components, { from, to }: Channels): WeightSource {
  const out = new Float32Array((to - from) * padded);
  for (let j = 0; j < reach; j++) for (let c = from; c < to; c++) out[(c - from) * padded + j] = basis[j * mean.length + c] ?? 0;
  return matrix(name, type, to - from, padded, out);
}

const matrix = (name: string, type: Components["type"], rows: number, cols: number, numbers: Float32Array): WeightSource => ({
  name,
  type,
  rows,
  cols,
  bytes: type === "F32" ? bytesIn(numbers) : inBlocks(numbers),
  uses: ["matmul"],
});

/** Q8_0: of every 32 numbers a scale of 16 bits, the largest of them over 127, and bytes. */
function inBlocks(numbers: Float32Array): Uint8Array {
  const out = new Uint8Array(numbers.length / BLOCK * BLOCK_BYTES);
  const scale = new Float16Array(1);
  const halves = new Uint8Array(scale.buffer);
  for (let from = 0, at = 0; from < numbers.length; from += BLOCK, at += BLOCK_BYTES) {
    let most = 0;
    for (let i = from; i < from + BLOCK; i++) {
      const size = Math.abs(numbers[i] ?? 0);
      if (size > most) most = size;
    }
    scale[0] = most / 127;
    out[at] = halves[0] ?? 0;
    out[at + 1] = halves[1] ?? 0;
    const factor = scale[0] === 0 ? 0 : 1 / (scale[0] ?? 1);
    for (let i = 0; i < BLOCK; i++) {
      // The nearest: what is cut off is positive.
      const code = ((numbers[from + i] ?? 0) * factor + 512.5 | 0) - 512;
      out[at + 2 + i] = code > 127 ? 127 : code < -127 ? -127 : code;
    }
  }
  return out;
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
