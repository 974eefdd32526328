/**
 * Ops that pass rows from one tier to another: a part of the table in `ops.ts`, whose words it uses.
 * @module
 */
import { codec, exact, f32, layout, read, u32, update, write } from "./op_spec.ts";
import type { OpSpec } from "./op_types.ts";

/** `split`, `transfer` and `lengthen`, in code order. */
export const tierOps: Readonly<Record<"split" | "transfer" | "lengthen", OpSpec>> = {
  split: {
    summary:
      "which rows pass on to another tier: those with position >= sinks, position + recent <= newest (integers, no wrap) and no score >= value, of which the first whole groups of `group` rows leave. keep, leave = ascending indices within the segment, at the segment's slots (what follows them up to the segment's length is undefined); counts, leaving = how many per head",
    operands: [
      read("score", "column", "slots"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("keep", "u32", "slots"),
      write("counts", "u32", "Hkv"),
      write("leave", "u32", "slots"),
      write("leaving", "u32", "Hkv"),
    ],
    params: [...u32("heads"), ...f32("value"), ...u32("sinks", "recent", "group")],
    tolerance: exact,
  },
  transfer: {
    summary:
      "encodes row keep[start_h + i] of source, i < counts[h], behind the rows of target's segment, whose length stays (see lengthen); bytes are copied between equal codecs of single rows, and codes of equal groups become coarser by q' = floor((q + (n-1)/2) / n), s' = s n with n = 17, 5 or 85, offsets as they are",
    operands: [
      read("source", "rows", "slots sourceDim"),
      read("keep", "u32", "slots"),
      read("counts", "u32", "Hkv"),
      read("sourceLayout", "layout", "Hkv 3"),
      read("targetLayout", "layout", "Hkv 3"),
      update("target", "rows", "slots targetDim"),
    ],
    params: [...u32("heads", "dim"), codec("sourceCodec"), codec("targetCodec")],
    tolerance: exact,
  },
  lengthen: {
    summary: "adds counts[h] to each length of a layout",
    operands: [read("counts", "u32", "Hkv"), update("layout", "layout", "Hkv 3")],
    params: u32("heads"),
    tolerance: exact,
  },
};
