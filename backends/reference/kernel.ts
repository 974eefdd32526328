/**
 * What a kernel of the reference sees: its operands by name, as typed views of their memory.
 * @module
 */
import { blockRows, codecOf, rowBytes } from "../../cache/codec.ts";
import { decodeRows } from "../../cache/encode.ts";
import type { Codec } from "../../cache/types.ts";
import type { OpName, OpParams, RowCodec } from "../ops.ts";

/** Row storage as numbers: memory itself under f32 and f16, whose elements round to nearest even when written; a decoded copy under others. */
export type Rows = Float32Array | Float16Array;

/** Operands of one instruction, by their names in the op table. An absent optional operand is an empty array. */
export interface Operands {
  readonly given: (name: string) => boolean;
  readonly f32: (name: string) => Float32Array;
  readonly u32: (name: string) => Uint32Array;
  readonly rows: (name: string, codec: RowCodec, dim: number) => Rows;
  readonly bytes: (name: string) => Uint8Array;
}

/** One op. Sizes and layouts have been checked: a kernel only computes. Numbers are f64 between reading and writing. */
export type Kernel<O extends OpName> = (params: OpParams[O], operands: Operands) => void;

/** Views of named bytes; every offset is a multiple of 16. */
export function viewOperands(bytesOf: ReadonlyMap<string, Uint8Array>): Operands {
  const none = new Uint8Array(0);
  const bytes = (name: string): Uint8Array => bytesOf.get(name) ?? none;
  const f32 = (name: string): Float32Array => {
    const { buffer, byteOffset, byteLength } = bytes(name);
    return new Float32Array(buffer, byteOffset, byteLength >> 2);
  };
  return {
    given: (name) => bytesOf.has(name),
    f32,
    u32: (name) => {
      const { buffer, byteOffset, byteLength } = bytes(name);
      return new Uint32Array(buffer, byteOffset, byteLength >> 2);
    },
    rows: (name, codec, dim) => {
      if (codec === "f32") return f32(name);
      const stored = bytes(name);
      if (codec !== "f16") return decodeSlots(codecOf(codec), stored, dim);
      return new Float16Array(stored.buffer, stored.byteOffset, stored.byteLength >> 1);
    },
    bytes,
  };
}

/** All whole blocks of slots. */
function decodeSlots(codec: Codec, stored: Uint8Array, dim: number): Float32Array {
  const block = Math.max(1, rowBytes(codec, dim) * blockRows(codec));
  return decodeRows(codec, stored.subarray(0, stored.length - stored.length % block), dim);
}

/** Element i, or NaN outside the array, so that a wrong index shows in every result it touches. */
export const at = (array: ArrayLike<number>, i: number): number => array[i] ?? NaN;

/** The sum of products of `count` numbers, in order. Its arrays are of few types, so that it compiles to plain loads, which `at` does not. */
export function dot(a: Float32Array | Float64Array, fromA: number, b: Float32Array | Float64Array, fromB: number, count: number): number {
  let sum = 0;
  for (let c = 0; c < count; c++) sum += (a[fromA + c] ?? NaN) * (b[fromB + c] ?? NaN);
  return sum;
}

/** Rows to read many times: halves widened once, exactly, because reading a Float16Array is slow. */
export const widened = (rows: Rows): Float32Array => rows instanceof Float32Array ? rows : new Float32Array(rows);

/** One head of a layout, in rows. */
export interface Head {
  readonly start: number;
  readonly length: number;
  readonly capacity: number;
}

/** The heads of a layout u32 [heads, 3]. */
export const headsOf = (layout: Uint32Array, heads: number): ReadonlyArray<Head> =>
  Array.from({ length: heads }, (_, h) => ({ start: at(layout, 3 * h), length: at(layout, 3 * h + 1), capacity: at(layout, 3 * h + 2) }));

/** A query position that means "no query here". */
export const noQuery = 0xFFFFFFFF;

/** Below every number that is worked out: the log of the sum of no exponentials, and the score of rows that take no part. */
export const lowest: number = Math.fround(-1e30);
