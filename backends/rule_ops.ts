/**
 * Ops of methods that keep rows by rules, in blocks, in two stages, or folded into others. The words used are those of `ops.ts`.
 * @module
 */
import { choice, exact, f32, layout, read, sums, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

const column = (name: string) => read(name, "column", "slots");

/** Rows that are stored as numbers. */
const plain = (name: string) => choice(name, ["f32", "f16"]);

/** What the nested rules are, in the words of both ops that follow them. */
const rules =
  "n tokens have been seen, the newest included. Rule 1 keeps rows of class 1 and positions below sinks, rule 2 also those of class 2, " +
  "rule 3 also, of all others, the ceil(n * numerator / denominator) with the most mass / (n - position) in f32 (lower positions first), " +
  "rule 4 is rule 2, position + window > newest, and such a choice among the others; rule 5 keeps all";

/** In code order, the end of the table. */
export const ruleOps: Readonly<
  Record<Extract<OpName, "profile" | "obey" | "lagSpread" | "blockRank" | "promote" | "foldValues">, OpSpec>
> = {
  profile: {
    summary:
      `column of the number, the same in all rows of a head, of the first rule that keeps a row and recovers at least \`recovery\`: (sum of the mass of its rows, under rule 4 of near instead where only the window keeps them) / n. Rule 5 recovers everything. ${rules}`,
    operands: [
      column("mass"),
      column("near"),
      column("class"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("out", "column", "slots"),
    ],
    params: [...u32("heads", "numerator", "denominator", "window", "sinks"), ...f32("recovery")],
    tolerance: exact,
  },
  obey: {
    summary:
      `column of 1 where the rule stays true to the row and 0 elsewhere; a head's rule is the largest number in \`rule\`, 5 where that is 0. ${rules}`,
    operands: [
      column("mass"),
      column("class"),
      column("rule"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("out", "column", "slots"),
    ],
    params: u32("heads", "numerator", "denominator", "window", "sinks"),
    tolerance: exact,
  },
  lagSpread: {
    summary:
      "a head's rows from index sinks on in blocks of lag rows: in each block that a whole block follows, the softmax over the block of the sample standard deviation over channels of (x - min) / (max - min), min and max per channel over the next block, 0 for a channel without range. 1 for all other rows; where no block has a next one, index / length for every row",
    operands: [read("rows", "rows", "slots dim"), layout, write("out", "column", "slots")],
    params: [...u32("heads", "dim"), plain("codec"), ...u32("sinks", "lag")],
    tolerance: { nmse: 1e-9, reason: "f32 exp of a standard deviation; sums over blocks and channels" },
  },
  blockRank: {
    summary:
      "in the blocks that lagSpread weighs, (number of rows of the block that are smaller, or equal at a lower index) / lag; other rows are copied",
    operands: [read("a", "column", "slots"), layout, write("out", "column", "slots")],
    params: u32("heads", "sinks", "lag"),
    tolerance: exact,
  },
  promote: {
    summary:
      "+infinity in the min(length, count) rows of each head with the highest score (lower position first, NaN last), `then` in the others",
    operands: [column("score"), column("then"), read("position", "u32", "slots"), layout, write("out", "column", "slots")],
    params: u32("heads", "count"),
    tolerance: exact,
  },
  foldValues: {
    summary:
      "every row that is not kept gives its value to the kept row of its head with the largest cosine of keys c (lower index first), with weight w = max(0, c) * |v| / (|v| + |v of that row|), 0 where both are zero: kept values become (v + sum of w v) / (1 + sum of w). In heads that keep nothing nothing happens. keep and counts as from rank; behind the kept indices of a head come, for the others in ascending order, the places of their targets in keep, and weight holds from slot start on the w of these others, then the l2 norms of the kept keys, at least 1e-12",
    operands: [
      read("keys", "rows", "slots keyDim"),
      read("counts", "u32", "Hkv"),
      layout,
      update("keep", "u32", "slots"),
      update("values", "rows", "slots valueDim"),
      write("weight", "column", "slots"),
    ],
    params: [...u32("heads", "keyDim", "valueDim"), plain("keyCodec"), plain("valueCodec")],
    tolerance: { ...sums, nmse: 1e-6, reason: "values are rounded to their codec: half a unit of 2^-11 for f16" },
  },
};
