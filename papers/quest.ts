/**
 * Quest: every query reads the pages of keys whose bounds promise most, and nothing leaves the cache.
 * @module
 */
import {
  block,
  type Budgeted,
  type Card,
  constructs,
  type Entry,
  layersFrom,
  makes,
  onLayers,
  pageBound,
  param,
  pipe,
} from "../policy/mod.ts";
import { type Policy, policy, rows, select, showTerm, type Sized, step, type Term } from "../policy/mod.ts";

/** Options of {@link quest} beside its size, the rows that a query reads per KV head. */
export interface QuestOptions {
  /** Rows per page. */
  readonly page: number;
  /** First layers whose queries read everything. */
  readonly dense: number;
}

const term: Term<Budgeted<QuestOptions>> = {
  name: "quest",
  about: "keeps everything, but each decoded token reads only the pages that promise most; when decoding must be fast and nothing be lost",
  params: { budget: param.size, page: param.count("page", 2, 1024), dense: param.count("dense", 0, 4096) },
  defaults: { budget: rows(1024), page: 16, dense: 2 },
};

const make = (o: Budgeted<QuestOptions>): Policy => {
  const text = showTerm(term)(o);
  const read = policy(text, [block(step, [pipe(pageBound(o.page, "max"), select(o.budget, { sinks: 0, recent: o.page }))])]);
  return o.dense === 0 ? read : policy(text, onLayers(layersFrom(o.dense))(read).blocks);
};

/** Quest (arXiv 2406.10774, algorithm 1): pages ranked by the sum over channels of max(q min, q max).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(quest({ rows: 512 }).text, "quest(512)");
 * ```
 */
export const quest: (options?: Sized<QuestOptions>) => Policy = constructs(term, make);

/** `quest(rows, page=, dense=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference",
  arxiv: "2406.10774",
  venue: "ICML 2024; authors' code in mit-han-lab/Quest, nothing copied",
  defaults: "1024 rows, pages of 16, first two layers dense: the paper",
  departures: [
    "one choice per KV head, by the largest bound in its group of query heads; the paper has one query head per KV head",
    "the newest `page` rows are always read and the last page chosen may be cut, so that exactly the budget is read",
  ],
  example: "quest(1024)",
};
