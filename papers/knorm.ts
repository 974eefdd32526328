/**
 * Knorm: keys of small norm are attended to; rows with large key norms leave.
 * @module
 */
import { afterPrefill, type Budgeted, type Card, constructs, type Entry, evict, makes, neg, norm, param, percent } from "../policy/mod.ts";
import { pipe, type Policy, share, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link knorm} beside its size. */
export interface KnormOptions {
  /** Also hold the budget while decoding. */
  readonly decode: boolean;
}

const term: Term<Budgeted<KnormOptions>> = {
  name: "knorm",
  about: "keeps the rows whose keys have the smallest norm; the cheapest score, for light pruning",
  params: { budget: param.size, decode: param.flag("decode") },
  defaults: { budget: share(percent(50)), decode: false },
};

const make = (o: Budgeted<KnormOptions>): Policy =>
  pipe(norm("keys", "l2"), neg, evict({ budget: o.budget }), afterPrefill(showTerm(term)(o), o.decode));

/** Knorm (arXiv 2406.11430, section 3): score = -|k|, l2, keys after rotation (which keeps norms).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(knorm({ rows: 512 }).text, "knorm(512)");
 * ```
 */
export const knorm: (options?: Sized<KnormOptions>) => Policy = constructs(term, make);

/** `knorm(rows, decode=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression",
  arxiv: "2406.11430",
  venue: "EMNLP 2024",
  defaults: "half of the prompt: the compression the abstract reports as harmless for language modelling",
  departures: ["all layers are pruned; the paper leaves the first two alone in some experiments: knorm(50%)|layers(2..)"],
  example: "knorm(50%)|layers(2..)",
};
