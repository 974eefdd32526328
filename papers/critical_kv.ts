/**
 * CriticalKV: half of the budget by attention, the rest by attention times what a row could write. A rewrite.
 * @module
 */
import { type Card, type Entry, param, percent, type Ratio, type Rewrite, rewrites, showTerm, type Term } from "../policy/mod.ts";
import { twoStages } from "../policy/mod.ts";

/** Options of {@link criticalKv}. */
export interface CriticalKvOptions {
  /** Share of the budget that the score alone decides. */
  readonly first: Ratio;
  /** Added to the score before it is multiplied. */
  readonly epsilon: number;
}

const term: Term<CriticalKvOptions> = {
  name: "critical",
  about: "half of the budget by the score, the rest by score times value norm; for budgets that are tight",
  params: { first: param.share("first"), epsilon: param.decimal("epsilon", 0, 1) },
  defaults: { first: percent(50), epsilon: 0.0001 },
};

/** CriticalKV (arXiv 2502.03805, algorithm 1) over any policy that evicts to a budget.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { snapKv } from "./snap_kv.ts";
 * assertEquals(criticalKv()(snapKv({ rows: 256 })).text, "snapkv(256)|critical(50%)");
 * ```
 */
export const criticalKv = (options: Partial<CriticalKvOptions> = {}): Rewrite => {
  const o = { ...term.defaults, ...options };
  return twoStages(showTerm(term)(o), o.first, o.epsilon);
};

/** `|critical(first, epsilon=)` in text. */
export const entry: Entry = rewrites(term, criticalKv);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Identify Critical KV Cache in LLM Inference from an Output Perturbation Perspective",
  arxiv: "2502.03805",
  venue: "2025; followed through NVIDIA/kvpress, nothing copied",
  defaults: "half of the budget first, epsilon 1e-4: NVIDIA/kvpress",
  departures: ["the l1 norm of the value stands for that of the value after the output projection: policies do not see its weights"],
  example: "snapkv(1024)|critical(50%)",
};
