/**
 * TOVA: the rows that the newest query attends to least leave, the same ones for every head of a layer.
 * @module
 */
import {
  afterPrefill,
  attention,
  type Budgeted,
  type Card,
  constructs,
  type Entry,
  evict,
  headMean,
  lastQueries,
  makes,
  param,
  pipe,
} from "../policy/mod.ts";
import { type Policy, rows, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link tova} beside its size. */
export interface TovaOptions {
  /** Newest rows that always stay; the paper has none, kvpress keeps one. */
  readonly recent: number;
  /** Hold the budget while decoding, as the paper does. */
  readonly decode: boolean;
}

const term: Term<Budgeted<TovaOptions>> = {
  name: "tova",
  about: "keeps the rows that the newest query attends to, the same for all heads of a layer; when every token may drop one row",
  params: { budget: param.size, decode: param.flag("decode"), recent: param.count("recent", 0, 65536) },
  defaults: { budget: rows(512), decode: true, recent: 0 },
};

const make = (o: Budgeted<TovaOptions>): Policy =>
  pipe(
    attention(lastQueries(1), "sum", "mean"),
    headMean,
    evict({ budget: o.budget, protect: { sinks: 0, recent: o.recent } }),
    afterPrefill(showTerm(term)(o), o.decode),
  );

/** TOVA (arXiv 2401.06104, section 4): score = attention of the newest query, mean over all query heads of the layer.
 * Nothing is protected by default, not even the newest row.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(tova({ rows: 256 }).text, "tova(256)");
 * ```
 */
export const tova: (options?: Sized<TovaOptions>) => Policy = constructs(term, make);

/** `tova(rows, decode=, recent=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Transformers are Multi-State RNNs",
  arxiv: "2401.06104",
  venue: "EMNLP 2024; authors' code in schwartz-lab-NLP/TOVA, nothing copied",
  defaults: "512 rows: the example of the authors' repository",
  departures: ["the mean over query heads is taken as the mean over groups of group means, which is the same number"],
  example: "tova(512)",
};
