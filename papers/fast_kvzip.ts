/**
 * Fast KVzip: a gate learned from KVzip's scores says, from a token's hidden state alone, what its rows will be worth.
 * @module
 */
import { append, block, type Budgeted, type Card, column, constructs, type Entry, evict, learned, makes, param } from "../policy/mod.ts";
import { type Policy, policy, prefillEnd, remember, rows, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link fastKvzip} beside its size, which counts sinks and window. */
export interface FastKvzipOptions {
  /** Who competes: all heads of the model, those of a layer, or the rows of one head. */
  readonly cut: "model" | "layer" | "head";
  /** Newest positions that always stay. */
  readonly window: number;
  /** First positions that always stay. */
  readonly sinks: number;
}

const term: Term<Budgeted<FastKvzipOptions>> = {
  name: "fastkvzip",
  about: "keeps the rows that a gate learned from kvzip opens for, all heads competing; where kvzip is too slow and the model has a gate",
  params: {
    budget: param.size,
    cut: param.choice("cut", ["model", "layer", "head"]),
    window: param.count("window", 0, 65536),
    sinks: param.count("sinks", 0, 65536),
  },
  defaults: { budget: rows(1024), cut: "model", window: 32, sinks: 4 },
};

const make = (o: Budgeted<FastKvzipOptions>): Policy =>
  policy(showTerm(term)(o), [
    block(append, [remember({ name: "fastkvzip", by: "set" })(learned("fastkvzip"))]),
    block(prefillEnd, [
      evict({ budget: o.budget, across: o.cut, protect: { sinks: o.sinks, recent: o.window } })(column("fastkvzip")),
    ]),
  ]);

/** Fast KVzip (arXiv 2601.17668, section 3), at the end of the prompt: the rows with the widest gates stay.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(fastKvzip({ rows: 256, window: 64 }).text, "fastkvzip(256, window=64)");
 * ```
 */
export const fastKvzip: (options?: Sized<FastKvzipOptions>) => Policy = constructs(term, make);

/** `fastkvzip(rows, cut=, window=, sinks=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Fast KVzip: Efficient and Accurate LLM Inference with Gated KV Eviction",
  arxiv: "2601.17668",
  venue: "arXiv 2026; authors' code in Janghyun1230/FastKVzip, nothing copied",
  defaults: "4 sinks and one cut through the model: the authors'; a window of 32 in place of 2 % of the prompt; 1024 rows as others here",
  departures: [
    "rows leave at the end of the prompt, not after every 16,000 tokens of it, and none while decoding",
    "no gate comes along: one for the model is given as a safetensors file with the published names under layers.{l}.",
  ],
  example: "fastkvzip(30%)",
};
