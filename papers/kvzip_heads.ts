/**
 * KVzip by heads: a head whose best row matters keeps its whole prompt, the others keep sinks and the newest rows.
 * @module
 */
import {
  block,
  type Budgeted,
  type Card,
  column,
  constructs,
  type Entry,
  evict,
  makes,
  param,
  type Policy,
  policy,
} from "../policy/mod.ts";
import { percent, prefillEnd, reconstruction, remember, share, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link kvzipHeads} beside its size, the mean over all heads. */
export interface KvzipHeadsOptions {
  /** First positions that every head keeps. */
  readonly sinks: number;
  /** Newest positions that every head keeps. */
  readonly recent: number;
  /** Tokens of the prompt per repetition. */
  readonly chunk: number;
}

const term: Term<Budgeted<KvzipHeadsOptions>> = {
  name: "kvzipheads",
  about: "whole heads by the best score of their rows under kvzip; the others keep their first and newest rows; when heads should go whole",
  params: {
    budget: param.size,
    sinks: param.count("sinks", 0, 65536),
    recent: param.count("recent", 0, 65536),
    chunk: param.count("chunk", 1, 65536),
  },
  defaults: { budget: share(percent(60)), sinks: 4, recent: 64, chunk: 2000 },
};

const make = (o: Budgeted<KvzipHeadsOptions>): Policy =>
  policy(showTerm(term)(o), [
    block(prefillEnd, [
      remember({ name: "kvzipheads", by: "set" })(reconstruction({ plus: false, denominators: "inference", chunk: o.chunk, per: "head" })),
      evict({ budget: o.budget, across: "model", protect: { sinks: o.sinks, recent: o.recent } })(column("kvzipheads")),
    ]),
  ]);

/** KVzip's context-independent variant (arXiv 2505.23416, section 4.3): score of a head = max over its rows; heads are taken in that order
 * until the budget is full, and the last one takes what is left, from its first positions on.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kvzipHeads({ rows: 256, recent: 128 }).text, "kvzipheads(256, recent=128)");
 * ```
 */
export const kvzipHeads: (options?: Sized<KvzipHeadsOptions>) => Policy = constructs(term, make);

/** `kvzipheads(share, sinks=, recent=, chunk=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KVzip: Query-Agnostic KV Cache Compression with Context Reconstruction (head-level variant)",
  arxiv: "2505.23416",
  venue: "NeurIPS 2025",
  defaults: "60 % as the paper recommends; 4 sinks and 64 newest rows in the heads that are cut, in the manner of DuoAttention",
  departures: [
    "the prompt itself is the sample that heads are judged by; the paper judges them once, by a long book",
    "the budget is met exactly, so one head may keep a part; the paper keeps all of a head or none",
  ],
  example: "kvzipheads(60%)",
};
