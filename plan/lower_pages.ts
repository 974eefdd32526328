/**
 * The score that a query has for pages of keys.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import { pageBytes } from "../cache/view.ts";
import type { Score } from "../policy/types.ts";
import { emit, temp } from "./draft.ts";
import { rowCodec, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** What the bounds of its page promise each row, of all rows or of those that are `within`. */
export const pageBound = (
  { shape, plan, slots }: Site,
  { page, channels, by }: Extract<Score, { readonly _tag: "PageBound" }>,
  within: Slot,
  out: Slot,
): (draft: Draft) => Draft =>
(draft) => {
  const { queryHeads: heads, kvHeads, keyDim: dim } = shape;
  const share = channels === null ? 0 : dim * channels.numerator / channels.denominator;
  const counted = channels === null ? 0 : Math.max(1, Math.min(dim, Math.round(share)));
  const [weights, d1] = temp("bound weights", heads * 2 * dim * 4)(draft);
  const d2 = emit({ op: "boundQuery", args: [slots.queries, weights], params: { heads, kvHeads, dim, channels: counted } })(d1);
  const params = {
    heads,
    kvHeads,
    dim,
    codec: rowCodec(plan.keyCodec),
    page,
    rowBytes: pageBytes(plan.keyCodec, dim, page),
    by,
    capacity: slots.capacity,
  };
  return emit({ op: "pageScores", args: [weights, slots.keys, slots.layout, out, page === 1 ? NONE : slots.bounds, within], params })(d2);
};
