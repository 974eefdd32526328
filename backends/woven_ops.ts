/**
 * Ops over two tiers of a layer at once: their rows as one list to choose from, and the choice taken apart again. The words used are those
 * of `ops.ts`; `first` and `second` are tiers whose rows ascend by position.
 * @module
 */
import { codec, exact, f32, layout, read, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

type WovenOp = Extract<OpName, "weave" | "weaveRows" | "unweave" | "insertRows" | "queriesSeen" | "demote">;

/** In code order, the end of the table. */
export const wovenOps: Readonly<Record<WovenOp, OpSpec>> = {
  weave: {
    summary:
      "the rows of two tiers as one list per head, ascending by position, those of the first before those of the second where they are equal: wovenLayout = sums of starts, lengths and capacities; order = 2 * index within the segment it comes from, + 1 for the second tier",
    operands: [
      read("firstPosition", "u32", "slots"),
      read("firstLayout", "layout", "Hkv 3"),
      read("secondPosition", "u32", "slots"),
      read("secondLayout", "layout", "Hkv 3"),
      write("order", "u32", "slots"),
      write("wovenLayout", "layout", "Hkv 3"),
    ],
    params: u32("heads"),
    tolerance: exact,
  },
  weaveRows: {
    summary:
      "the rows of a woven list, out of two tiers: decoded and encoded again, or copied bytes between equal codecs of single rows. The woven codec is one of single rows",
    operands: [
      read("first", "rows", "slots firstDim"),
      read("firstLayout", "layout", "Hkv 3"),
      read("second", "rows", "slots secondDim"),
      read("secondLayout", "layout", "Hkv 3"),
      read("order", "u32", "slots"),
      read("wovenLayout", "layout", "Hkv 3"),
      write("out", "rows", "slots wovenDim"),
    ],
    params: [...u32("heads", "dim"), codec("firstCodec"), codec("secondCodec"), codec("wovenCodec")],
    tolerance: exact,
  },
  unweave: {
    summary:
      "of the rows keep[start_h + i], i < counts[h], of a woven list: which they are in each of the two tiers. firstKeep, secondKeep = indices within the segment in the order in which they are kept, at the segment's slots (what follows them up to the segment's length is undefined); firstCounts, secondCounts = how many per head, at most as many as there are rows",
    operands: [
      read("keep", "u32", "slots"),
      read("counts", "u32", "Hkv"),
      read("order", "u32", "slots"),
      read("wovenLayout", "layout", "Hkv 3"),
      read("firstLayout", "layout", "Hkv 3"),
      read("secondLayout", "layout", "Hkv 3"),
      write("firstKeep", "u32", "slots"),
      write("firstCounts", "u32", "Hkv"),
      write("secondKeep", "u32", "slots"),
      write("secondCounts", "u32", "Hkv"),
    ],
    params: u32("heads"),
    tolerance: exact,
  },
  insertRows: {
    summary:
      "moves the last counts[h] rows of each segment, which ascend by position, to where their positions belong among the rows before them, behind equal ones; `rows` may be `position` itself, and is moved last then",
    operands: [
      read("position", "u32", "slots"),
      read("counts", "u32", "Hkv"),
      layout,
      update("rows", "rows", "slots rowBytes"),
    ],
    params: u32("heads", "rowBytes"),
    tolerance: exact,
  },
  queriesSeen: {
    summary:
      "column of how many queries have weighed a row, its own included: newest + 1 - position, of which those at positions below `prompt` count at most `window`: newest + 1 - max(position, prompt) + min(window, max(0, prompt - position)), in wrapping u32, as f32",
    operands: [read("position", "u32", "slots"), layout, read("newest", "u32", "1"), write("out", "column", "slots")],
    params: u32("heads", "prompt", "window"),
    tolerance: exact,
  },
  demote: {
    summary:
      "at most one row per head passes on or leaves. Of the first tier's rows with position + recent <= newest, and of all of the second's, the one that scores least is the victim (the first of equal ones; NaN scores least of all). Below `low` and below the second's victim the first's leaves for good; else below `high` it passes on, and the second's victim leaves for good if that is below `low`; else nothing happens. firstKeep, secondKeep = indices of the rows that stay, ascending, at the segment's slots; firstLeave = of the one that passes on; counts and firstLeaving per head",
    operands: [
      read("firstScore", "column", "slots"),
      read("firstPosition", "u32", "slots"),
      read("firstLayout", "layout", "Hkv 3"),
      read("secondScore", "column", "slots"),
      read("secondLayout", "layout", "Hkv 3"),
      read("newest", "u32", "1"),
      write("firstKeep", "u32", "slots"),
      write("firstCounts", "u32", "Hkv"),
      write("firstLeave", "u32", "slots"),
      write("firstLeaving", "u32", "Hkv"),
      write("secondKeep", "u32", "slots"),
      write("secondCounts", "u32", "Hkv"),
    ],
    params: [...u32("heads"), ...f32("high", "low"), ...u32("recent")],
    tolerance: exact,
  },
};
