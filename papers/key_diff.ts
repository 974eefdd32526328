/**
 * KeyDiff: keys that resemble all others are redundant; rows close to the mean direction leave.
 * @module
 */
import {
  afterPrefill,
  type Budgeted,
  type Card,
  constructs,
  type Entry,
  evict,
  keySimilarity,
  makes,
  neg,
  param,
  percent,
  pipe,
} from "../policy/mod.ts";
import { type Policy, share, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link keyDiff} beside its size. */
export interface KeyDiffOptions {
  /** Also hold the budget while decoding. */
  readonly decode: boolean;
}

const term: Term<Budgeted<KeyDiffOptions>> = {
  name: "keydiff",
  about: "keeps the rows whose keys differ most from the mean key direction; where no attention can be seen, also while text is read",
  params: { budget: param.size, decode: param.flag("decode") },
  defaults: { budget: share(percent(50)), decode: false },
};

const make = (o: Budgeted<KeyDiffOptions>): Policy =>
  pipe(keySimilarity, neg, evict({ budget: o.budget }), afterPrefill(showTerm(term)(o), o.decode));

/** KeyDiff (arXiv 2504.15364): score = -cos(k, mean of the unit keys of the head), keys after rotation.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { percent } from "../policy/mod.ts";
 * assertEquals(keyDiff({ share: percent(25), decode: true }).text, "keydiff(25%, decode=yes)");
 * ```
 */
export const keyDiff: (options?: Sized<KeyDiffOptions>) => Policy = constructs(term, make);

/** `keydiff(rows, decode=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KeyDiff: Key Similarity-Based KV Cache Eviction for Long-Context LLM Inference in Resource-Constrained Environments",
  arxiv: "2504.15364",
  venue: "2025; followed through NVIDIA/kvpress (Apache-2.0), nothing copied",
  defaults: "half of the prompt: the sources name no default, so this equals knorm's",
  departures: ["whole prompt at once; the paper's blockwise eviction is keydiff(...)|streaming, with the run's chunk as block"],
  example: "keydiff(1024)|streaming",
};
