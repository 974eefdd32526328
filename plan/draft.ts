/**
 * Building programs step by step. A draft is immutable; adding a value is a `State<Draft, Slot>` of fp-ts, that is
 * `(draft) => [slot, longer draft]`, and adding an op is `(draft) => longer draft`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { bound, emit, emptyDraft, finish, temp } from "./draft.ts";
 * const [x, d1] = bound("x")(emptyDraft);
 * const [y, d2] = temp("y", 4)(d1);
 * const program = finish("first row")(emit({ op: "slice", args: [x, y], params: { from: 0, rows: 1, width: 1 } })(d2));
 * assertEquals([program.values.length, program.body.length], [2, 1]);
 * ```
 * @module
 */
import type { State } from "fp-ts/State.js";
import type { Instr, Program, Slot, Value } from "../backends/program.ts";
import type { Draft } from "./types.ts";

/** Nothing yet: no values, no ops. */
export const emptyDraft: Draft = { values: [], body: [] };

/** A new scratch value of `bytes` bytes; its contents are undefined until an op writes it. */
export const temp = (label: string, bytes: number): State<Draft, Slot> => (draft) => add({ _tag: "Temp", label, bytes })(draft);

/** The buffer that is bound to `name` when the program runs; the same name is the same slot. */
export const bound = (name: string): State<Draft, Slot> => named({ _tag: "Bound", name });

/** The weight called `name` when the program is prepared; the same name is the same slot. */
export const weight = (name: string): State<Draft, Slot> => named({ _tag: "Weight", name });

/** Appends one op. */
export const emit = (instr: Instr): (draft: Draft) => Draft => (draft) => ({ values: draft.values, body: [...draft.body, instr] });

/** Closes a draft into a program. */
export const finish = (label: string): (draft: Draft) => Program => (draft) => ({ label, values: draft.values, body: draft.body });

function add(value: Value): State<Draft, Slot> {
  return (draft) => [draft.values.length, { values: [...draft.values, value], body: draft.body }];
}

function named(value: Exclude<Value, { readonly _tag: "Temp" }>): State<Draft, Slot> {
  return (draft) => {
    const at = draft.values.findIndex((v) => v._tag === value._tag && v.name === value.name);
    return at >= 0 ? [at, draft] : add(value)(draft);
  };
}
