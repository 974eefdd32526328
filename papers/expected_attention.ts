/**
 * Expected Attention: rows stay that the queries to come will attend to, if they are like those that were.
 * @module
 */
import { afterPrefill, type Budgeted, type Card, constant, constructs, type Entry, evict, expected, makes, norm } from "../policy/mod.ts";
import { param, percent, pipe, plus, type Policy, share, showTerm, type Sized, type Term, times } from "../policy/mod.ts";

/** Options of {@link expectedAttention} beside its size, which counts the sinks. */
export interface ExpectedAttentionOptions {
  /** Newest queries of the prompt whose mean and variance stand for those to come. */
  readonly queries: number;
  /** Positions that these are expected at. */
  readonly future: number;
  /** First positions, which always stay and whose queries do not count. */
  readonly sinks: number;
  /** Added to attention before it is weighted by the norm of the value. */
  readonly epsilon: number;
  /** Does the variance of queries count? */
  readonly spread: boolean;
  /** Does the norm of the value count? */
  readonly norm: boolean;
}

const term: Term<Budgeted<ExpectedAttentionOptions>> = {
  name: "expected",
  about: "keeps rows that queries to come are expected to attend to; when the question is not known yet",
  params: {
    budget: param.size,
    queries: param.count("queries", 1, 4096),
    future: param.count("future", 1, 65536),
    sinks: param.count("sinks", 0, 65536),
    epsilon: param.decimal("epsilon", 0, 1),
    spread: param.flag("spread"),
    norm: param.flag("norm"),
  },
  defaults: { budget: share(percent(50)), queries: 128, future: 512, sinks: 4, epsilon: 0, spread: true, norm: true },
};

const make = (o: Budgeted<ExpectedAttentionOptions>): Policy => {
  const attention = o.epsilon === 0 ? expected(o) : pipe(expected(o), plus(constant(o.epsilon)));
  return pipe(
    o.norm ? times(norm("values", "l2"))(attention) : attention,
    evict({ budget: o.budget, protect: { sinks: o.sinks, recent: 0 } }),
    afterPrefill(showTerm(term)(o), false),
  );
};

/** Expected Attention (arXiv 2510.00636): softmax of k.m + k.S k / 2 per query head, m and S mean and covariance of queries rotated to the
 * positions to come, mean over the group, times the norm of the value.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(expectedAttention({ rows: 256 }).text, "expected(256)");
 * ```
 */
export const expectedAttention: (options?: Sized<ExpectedAttentionOptions>) => Policy = constructs(term, make);

/** `expected(rows, queries=, future=, sinks=, epsilon=, spread=, norm=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Expected Attention: KV Cache Compression by Estimating Attention from Future Queries Distribution",
  arxiv: "2510.00636",
  venue: "2025; followed through NVIDIA/kvpress, nothing copied",
  defaults: "512 positions to come, 4 sinks, covariance and value norm on, epsilon 0: kvpress",
  departures: ["mean and covariance of the last 128 queries of the prompt; kvpress takes all of its prefill, and 256 while decoding"],
  example: "expected(50%)",
};
