/**
 * SnapKV: the last queries of the prompt vote, by attention, for the rows that stay.
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
  lastQueries,
  makes,
  param,
} from "../policy/mod.ts";
import { pipe, type Policy, pool, rows, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link snapKv} beside its size, which counts the window. */
export interface SnapKvOptions {
  /** Queries that vote; their own rows always stay. */
  readonly window: number;
  /** Odd width of the pooling along positions. */
  readonly kernel: number;
  /** How neighbours are pooled; mean divides by the kernel at the borders too. */
  readonly pool: "max" | "mean";
  /** What the query heads of a group make of their votes: the mean as in kvpress, or the largest as in the adapted code for R-KV. */
  readonly group: "mean" | "max";
  /** Also hold the budget while decoding. */
  readonly decode: boolean;
}

const term: Term<Budgeted<SnapKvOptions>> = {
  name: "snapkv",
  about: "keeps the rows that the last queries of the prompt attend to, pooled over neighbours; when the question is part of the prompt",
  params: {
    budget: param.size,
    window: param.count("window", 1, 4096),
    kernel: param.odd("kernel", 1023),
    pool: param.choice("pool", ["max", "mean"]),
    decode: param.flag("decode"),
    group: param.choice("group", ["mean", "max"]),
  },
  defaults: { budget: rows(1024), window: 32, kernel: 7, pool: "max", decode: false, group: "mean" },
};

const make = (o: Budgeted<SnapKvOptions>): Policy =>
  pipe(
    attention(lastQueries(o.window), "sum", o.group),
    pool({ by: o.pool, size: o.kernel, dropLast: o.window }),
    evict({ budget: o.budget, protect: { sinks: 0, recent: o.window } }),
    afterPrefill(showTerm(term)(o), o.decode),
  );

/** SnapKV (arXiv 2404.14469, section 4): top (B - window) rows by pooled votes, and the last `window`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(snapKv({ rows: 256, window: 16 }).text, "snapkv(256, window=16)");
 * ```
 */
export const snapKv: (options?: Sized<SnapKvOptions>) => Policy = constructs(term, make);

/** `snapkv(rows, window=, kernel=, pool=, decode=, group=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "SnapKV: LLM Knows What You are Looking for Before Generation",
  arxiv: "2404.14469",
  venue: "NeurIPS 2024; authors' code in FasterDecoding/SnapKV, nothing copied",
  defaults: "1024 rows, window 32, kernel 7, max pooling: the published LongBench configurations",
  departures: [
    "one choice per KV head, by the mean over its group (group=max: the largest); the authors choose per query head on repeated keys",
    "decode=yes (no part of the paper) repeats the choice with the newest queries after every token",
  ],
  example: "snapkv(1024)",
};
