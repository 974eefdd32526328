/**
 * Ops of the table by which rows are decided once, when they leave a window: their scores come from the run's tokens, and only the rows
 * from the first that goes are looked at. The words used are those of `ops.ts`.
 * @module
 */
import type { OpSpec } from "./op_types.ts";
import { exact, f32, layout, read, u32, update, write } from "./op_spec.ts";

/** The last rows of the table. */
export const admissionOps: Readonly<Record<"perToken" | "leaving" | "rejoin", OpSpec>> = {
  perToken: {
    summary:
      "a column's rows at the last m positions take the numbers of their tokens: position newest - i that of x[m - 1 - i, head]; other rows stay",
    operands: [
      read("x", "f32", "M Hkv"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      update("column", "column", "slots"),
    ],
    params: u32("m", "heads"),
    tolerance: exact,
  },
  leaving: {
    summary:
      "tail = the end of each segment from the first row that `threshold` with these numbers and no floor removes: neither protected nor of a score >= value (NaN is not); an empty end where it removes none. Positions ascend within a head",
    operands: [
      read("score", "column", "slots"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("tail", "layout", "Hkv 3"),
    ],
    params: [...u32("heads"), ...f32("value"), ...u32("sinks", "recent")],
    tolerance: exact,
  },
  rejoin: {
    summary:
      "sets each length of a layout so that its segment ends counts[h] rows after the start of the segment of `tail`, which lies in it",
    operands: [read("counts", "u32", "Hkv"), read("tail", "layout", "Hkv 3"), update("layout", "layout", "Hkv 3")],
    params: u32("heads"),
    tolerance: exact,
  },
};
