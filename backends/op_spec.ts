/**
 * Words for writing a row of the op table: operands, parameters, tolerances.
 * @module
 */
import { rowCodecs } from "../cache/codec.ts";
import type { OperandSpec, ParamSpec, Tolerance } from "./op_types.ts";

/** Whole numbers. */
export const u32 = (...names: ReadonlyArray<string>): ReadonlyArray<ParamSpec> => names.map((name) => ({ name, type: "u32" }));
/** Finite f32 numbers. */
export const f32 = (...names: ReadonlyArray<string>): ReadonlyArray<ParamSpec> => names.map((name) => ({ name, type: "f32" }));
/** A flag. */
export const bool = (name: string): ParamSpec => ({ name, type: "bool" });
/** One of these words; its index is what backends see. */
export const choice = (name: string, choices: ReadonlyArray<string>): ParamSpec => ({ name, type: "choice", choices });
/** How rows are stored. */
export const codec = (name: string): ParamSpec => choice(name, rowCodecs);
const operand = (use: OperandSpec["use"]) => (name: string, kind: OperandSpec["kind"], axes: string): OperandSpec => ({
  name,
  use,
  kind,
  axes,
});
/** An operand that is read. */
export const read = operand("in");
/** An operand that is written. */
export const write = operand("out");
/** An operand that is read and written. */
export const update = operand("inout");
/** The same operand, which may be absent. */
export const optional = (o: OperandSpec): OperandSpec => ({ ...o, optional: true });
/** The layout of the operands by slot. */
export const layout: OperandSpec = read("layout", "layout", "Hkv 3");
/** No rounding. */
export const exact: Tolerance = { nmse: 0, reason: "moves or compares bits, computes nothing" };
/** Sums of f32. */
export const sums: Tolerance = { nmse: 1e-10, reason: "f32 sums in another order: about sqrt(terms) * 2^-24 relative" };
/** An exponential, and sums. */
export const poly: Tolerance = { nmse: 1e-10, reason: "f32 polynomial exp within 2 ulp, and f32 sums in another order" };
