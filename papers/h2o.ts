/**
 * H2O: rows that gathered the most attention over the whole history (heavy hitters) stay, beside the recent ones.
 * @module
 */
import {
  afterPrefill,
  and,
  append,
  attention,
  block,
  type Budgeted,
  type Card,
  column,
  constructs,
  currentQueries,
  type Entry,
} from "../policy/mod.ts";
import { evict, lowest, makes, param, percent, pipe, type Policy, policy, type Ratio, remember } from "../policy/mod.ts";
import { share, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link h2o} beside its size, which counts the recent rows. */
export interface H2oOptions {
  /** Newest rows that always stay: a count, or a share of the budget. */
  readonly recent: number | Ratio;
  /** How the query heads of a group count together: by their mean, or by the largest of each step. */
  readonly group: "mean" | "max";
  /** Hold the budget while decoding, as the paper does. */
  readonly decode: boolean;
}

const term: Term<Budgeted<H2oOptions>> = {
  name: "h2o",
  about: "keeps the rows with the most accumulated attention (heavy hitters) and the newest; when a budget must hold while decoding too",
  params: { budget: param.size, recent: param.recentRows, decode: param.flag("decode"), group: param.choice("group", ["mean", "max"]) },
  defaults: { budget: share(percent(20)), recent: percent(50), decode: true, group: "mean" },
};

const make = (o: Budgeted<H2oOptions>): Policy => {
  const text = showTerm(term)(o);
  const sum = pipe(attention(currentQueries, "sum", o.group), remember({ name: "mass", by: "sum" }));
  const leave = pipe(
    column("mass"),
    evict({ budget: o.budget, protect: { sinks: 0, recent: typeof o.recent === "number" ? o.recent : lowest(o.recent) } }),
  );
  const blocks = pipe(policy(text, [block(append, [sum])]), and(afterPrefill(text, o.decode)(leave))).blocks;
  return policy(text, blocks);
};

/** H2O (arXiv 2306.14048, section 4): F[j] sums the attention row j ever received; the top of F and the last rows stay.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(h2o({ rows: 2048, recent: 1024 }).text, "h2o(2048, recent=1024)");
 * ```
 */
export const h2o: (options?: Sized<H2oOptions>) => Policy = constructs(term, make);

/** `h2o(rows, recent=, decode=, group=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models",
  arxiv: "2306.14048",
  venue: "NeurIPS 2023; authors' code in FMInference/H2O, nothing copied",
  defaults: "20 % of the prompt, half of it recent: heavy_ratio = recent_ratio = 0.1 in the authors' evaluation",
  departures: [
    "one choice per KV head, by the mean over its group (group=max: the largest); the authors choose per query head",
    "attention of past and present queries only; one of the authors' evaluation scripts looks at future ones too",
  ],
  example: "h2o(20%)",
};
