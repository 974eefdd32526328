/**
 * Operands for calling a kernel of the reference directly, from plain arrays.
 * @module
 */
import { type Operands, viewOperands } from "../backends/reference/kernel.ts";

type Numbers = Float32Array | Uint32Array | Float16Array | Uint8Array;

/** Views of these arrays by operand name: a kernel writes through them. */
export const operandsOf = (arrays: Readonly<Record<string, Numbers>>): Operands =>
  viewOperands(new Map(Object.entries(arrays).map(([name, a]) => [name, new Uint8Array(a.buffer, a.byteOffset, a.byteLength)])));

/** f32 from numbers. */
export const f32 = (...numbers: ReadonlyArray<number>): Float32Array => Float32Array.from(numbers);

/** u32 from numbers. */
export const u32 = (...numbers: ReadonlyArray<number>): Uint32Array => Uint32Array.from(numbers);

/** f32 [count] of NaN: what an op has not written shows. */
export const blank = (count: number): Float32Array => new Float32Array(count).fill(NaN);

/** u32 [count] of a number no op writes. */
export const blankWords = (count: number): Uint32Array => new Uint32Array(count).fill(0xDEAD);
