/**
 * KVzip: the model repeats its prompt, and what that takes no notice of is not needed for any question.
 * @module
 */
import { block, type Budgeted, type Card, column, constructs, type Entry, evict, makes, param } from "../policy/mod.ts";
import { type Policy, policy, prefillEnd, reconstruction, remember, rows, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link kvzip} beside its size, which counts the prefix. */
export interface KvzipOptions {
  /** KVzip+: what a row writes for its reader, on the scale of the reader's hidden state, instead of the attention it gets. */
  readonly plus: boolean;
  /** Who competes: all heads of the model, those of a layer, or the rows of one head. */
  readonly cut: "model" | "layer" | "head";
  /** Tokens of the prompt per repetition. */
  readonly chunk: number;
  /** What shares a softmax: `inference`, sinks, the chunk and its repetition; `training`, all that the repetition sees, in one piece. */
  readonly denominators: "inference" | "training";
  /** First positions that always stay, beside those of a chat template before the text. */
  readonly sinks: number;
}

const term: Term<Budgeted<KvzipOptions>> = {
  name: "kvzip",
  about:
    "keeps the rows that the model attends to while it repeats its prompt, all heads competing; for many questions about one text, worth a second pass",
  params: {
    budget: param.size,
    plus: param.flag("plus"),
    cut: param.choice("cut", ["model", "layer", "head"]),
    chunk: param.count("chunk", 1, 65536),
    denominators: param.choice("denominators", ["inference", "training"]),
    sinks: param.count("sinks", 0, 65536),
  },
  defaults: { budget: rows(1024), plus: false, cut: "model", chunk: 2000, denominators: "inference", sinks: 4 },
};

const make = (o: Budgeted<KvzipOptions>): Policy =>
  policy(showTerm(term)(o), [
    block(prefillEnd, [
      remember({ name: "kvzip", by: "set" })(
        reconstruction({ plus: o.plus, denominators: o.denominators, chunk: o.chunk, per: "row" }),
      ),
      evict({ budget: o.budget, across: o.cut, protect: { sinks: o.sinks, recent: 0 } })(column("kvzip")),
    ]),
  ]);

/** KVzip (arXiv 2505.23416, algorithm 1) and KVzip+ (arXiv 2601.07891, equation 3): layers * heads * budget rows stay, those with the largest
 * score; of equal ones those of the lower layer, head and position.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kvzip({ rows: 256, plus: true, cut: "layer" }).text, "kvzip(256, plus=yes, cut=layer)");
 * ```
 */
export const kvzip: (options?: Sized<KvzipOptions>) => Policy = constructs(term, make);

/** `kvzip(rows, plus=, cut=, chunk=, denominators=, sinks=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KVzip: Query-Agnostic KV Cache Compression with Context Reconstruction",
  arxiv: "2505.23416",
  venue: "NeurIPS 2025",
  defaults: "one cut through the model and chunks of 2,000 tokens: the paper's; 4 sinks: NVIDIA/kvpress; 1024 rows as others here",
  departures: [
    "exactly the budget stays, ties by layer, head, position; the authors' code keeps what is strictly above a threshold, one row fewer",
    "the budget counts the template before the text, which always stays; the authors' does not",
    "softmax in f32; the authors' in the model's type",
  ],
  example: "kvzip(50%)",
};
