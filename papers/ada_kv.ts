/**
 * Ada-KV: the heads of a layer share one budget, so that heads which spread their attention keep more rows. A rewrite.
 * @module
 */
import { adaptive, type Card, type Entry, param, percent, type Ratio, type Rewrite, rewrites, type Term } from "../policy/mod.ts";

/** Options of {@link adaKv}. */
export interface AdaKvOptions {
  /** Share of the budget that every head keeps, or null for none. */
  readonly floor: Ratio | null;
}

const term: Term<AdaKvOptions> = {
  name: "ada",
  about: "heads of a layer compete for one budget, each keeps a floor; over any method that scores rows, at budgets from a half down",
  params: { floor: param.shareOrNone("floor") },
  defaults: { floor: percent(20) },
};

/** Ada-KV (arXiv 2407.11550, algorithm 1) over any policy that evicts to a budget: per layer, heads x budget rows stay in all,
 * best scores of all heads first, after every head has its floor.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { knorm } from "./knorm.ts";
 * assertEquals(adaKv()(knorm({ rows: 256 })).text, "knorm(256)|ada(20%)");
 * ```
 */
export const adaKv = (options: Partial<AdaKvOptions> = {}): Rewrite => adaptive({ ...term.defaults, ...options }.floor);

/** `|ada(floor)` in text. */
export const entry: Entry = rewrites(term, adaKv);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation for Efficient LLM Inference",
  arxiv: "2407.11550",
  venue: "NeurIPS 2025; authors' code in FFY0/AdaKV, nothing copied",
  defaults: "floor 20 %: the authors' LongBench scripts, and their advice for grouped queries",
  departures: [
    "the floor is kept first and the rest goes to the best scores, as in NVIDIA/kvpress; the authors mix (1 - alpha) of the free " +
    "allocation with alpha of the even one and round per head, so their totals vary by rows",
  ],
  example: "snapkv(1024)|ada(20%)",
};
