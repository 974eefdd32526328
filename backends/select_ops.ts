/**
 * Ops by which a query reads some of the rows only: bounds of pages of keys, what they promise a query, attention over chosen rows. The
 * words used are those of `ops.ts`.
 * @module
 */
import { bool, choice, exact, f32, layout, optional, poly, read, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec, ParamSpec } from "./op_types.ts";

type SelectOp = Extract<OpName, "minmaxPages" | "boundQuery" | "pageScores" | "attendRows">;

/** Rows of plain numbers: bounds of codes, and choosing among them, is not done. */
const plain = (name: string): ParamSpec => choice(name, ["f32", "f16"]);

/** In code order, the end of the table. */
export const selectOps: Readonly<Record<SelectOp, OpSpec>> = {
  minmaxPages: {
    summary:
      "for every `page` rows of a head, counted from its first: the minimum of each channel, then the maximum of each, in the codec of the rows, from the bytes of the page's first slot of `bounds` on. Only pages that hold one of the last m rows, all if m is 0; a last page that is not full has no bounds. page * rowBytes is at least two rows",
    operands: [read("keys", "rows", "slots dim"), layout, update("bounds", "rows", "slots rowBytes")],
    params: [...u32("heads", "dim"), plain("codec"), ...u32("page", "m", "rowBytes")],
    tolerance: exact,
  },
  boundQuery: {
    summary:
      "weights [minima, maxima] per query head. channels = 0: min(q, 0) and max(q, 0). Else only the `channels` channels with the largest sum of |q| over the group (the lower one on ties) have weight, q on the maximum where the sum of q over the group is > 0, else on the minimum, all divided by sqrt(dim * sum of the chosen |q| / sum of all |q|) of that query head, or 0 if its chosen |q| are 0",
    operands: [read("q", "f32", "Hq dim"), write("out", "f32", "Hq 2 dim")],
    params: u32("heads", "kvHeads", "dim", "channels"),
    tolerance: { nmse: 1e-10, reason: "f32 sums of a row and a root" },
  },
  pageScores: {
    summary:
      "column: the product u of a query head's weights with the bounds of the row's page, as minmaxPages has them; those of a last page that is not full, and of all pages of one row, are read off the keys. by max: the largest u of the group; by softmax: the mean over the group of the softmax of u over the rows of the head. With `within` only rows where it is above 0 take part, the others get -1e30. Heads have at most `capacity` rows together",
    operands: [
      read("weights", "f32", "Hq 2 dim"),
      read("keys", "rows", "slots dim"),
      layout,
      write("out", "column", "slots"),
      optional(read("bounds", "rows", "slots rowBytes")),
      optional(read("within", "column", "slots")),
    ],
    params: [
      ...u32("heads", "kvHeads", "dim"),
      plain("codec"),
      ...u32("page", "rowBytes"),
      choice("by", ["max", "softmax"]),
      ...u32("capacity"),
    ],
    tolerance: poly,
  },
  attendRows: {
    summary:
      "attend of one query (m = 1) that sees, of each head, only the rows whose indices are keep[start_h + i] for i < counts[h], each as often as it is named",
    operands: [
      read("q", "f32", "M Hq keyDim"),
      read("keys", "rows", "slots keyDim"),
      read("values", "rows", "slots valueDim"),
      read("position", "u32", "slots"),
      layout,
      read("queryPosition", "u32", "M"),
      update("out", "f32", "M Hq valueDim"),
      update("lse", "f32", "M Hq"),
      read("keep", "u32", "slots"),
      read("counts", "u32", "Hkv"),
    ],
    params: [
      ...u32("m", "heads", "kvHeads", "keyDim", "valueDim"),
      plain("keyCodec"),
      plain("valueCodec"),
      ...f32("scale"),
      ...u32("window"),
      ...f32("softcap"),
      bool("merge"),
    ],
    tolerance: { nmse: 1e-9, reason: "f32 exp and sums, online rescaling, rows streamed in f16 convert exactly" },
  },
};
