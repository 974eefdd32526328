/**
 * A program: a straight line of ops over numbered values. No loops, no shapes decided at run time but the ragged lengths,
 * which live in layout buffers. One program is encoded once and run many times with different bindings.
 * @module
 */
import type { OpName, OpParams } from "./ops.ts";

/** Index into {@link Program.values}; {@link NONE} where an optional operand is absent. */
export type Slot = number;

/** An absent optional operand. */
export const NONE: Slot = -1;

/** Where a value lives. */
export type Value =
  /** Scratch of this run; contents undefined at the start. `bytes` is its size. Backends reuse memory of dead temps. */
  | { readonly _tag: "Temp"; readonly label: string; readonly bytes: number }
  /** A buffer named at run time by the binding of the same name. */
  | { readonly _tag: "Bound"; readonly name: string }
  /** A weight named at prepare time. */
  | { readonly _tag: "Weight"; readonly name: string };

/** One op applied to slots. `args` follows the operand order of the op table. */
export type Instr = {
  readonly [O in OpName]: { readonly op: O; readonly args: ReadonlyArray<Slot>; readonly params: OpParams[O] };
}[OpName];

/** A program, printable and hashable. */
export interface Program {
  /** For errors and profiles. */
  readonly label: string;
  /** Values by slot. */
  readonly values: ReadonlyArray<Value>;
  /** Ops in order. */
  readonly body: ReadonlyArray<Instr>;
}
