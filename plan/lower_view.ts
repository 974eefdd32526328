/**
 * A view as a column: which rows an eviction would keep, of rows that all stay.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import type { Score } from "../policy/types.ts";
import { emit, temp } from "./draft.ts";
import { mapOp, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** Below every score. */
const LOWEST = -1e30;

/** 1 for the best rows and the last ones, else 0. Softmax is 0 for the last rows only, so that its inverse, far below every score for the
 * others, is infinite for them. */
export const view =
  (site: Site, { rows, recent }: Extract<Score, { readonly _tag: "Kept" }>, of: Slot, out: Slot) => (draft: Draft): Draft => {
    const { slots: { layout, position, capacity }, shape: { kvHeads: heads } } = site;
    const [flat, d1] = temp("flat", capacity * 4)(draft);
    const [one, d2] = temp("one", capacity * 4)(d1);
    const d3 = mapOp(site, "fill", one, NONE, one, 1)(mapOp(site, "fill", flat, NONE, flat, 0)(d2));
    const d4 = emit({ op: "softmax", args: [flat, layout, flat], params: { heads, dropLast: recent } })(d3);
    const d5 = mapOp(site, "shift", flat, NONE, flat, LOWEST)(mapOp(site, "div", one, flat, flat)(d4));
    const d6 = mapOp(site, "fill", out, NONE, out, 0)(mapOp(site, "max", of, flat, flat)(d5));
    const d7 = emit({ op: "promote", args: [flat, out, position, layout, out], params: { heads, count: rows } })(d6);
    return mapOp(site, "min", out, one, out)(d7);
  };
