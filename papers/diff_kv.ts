/**
 * DiffKV: keys finer than values, important rows finer than others, the least important pruned; every head by thresholds of its own.
 * @module
 */
import { above, attention, block, build, type Card, constant, currentQueries, dividedBy, encode, encodeBelow } from "../policy/mod.ts";
import { type Entry, evict, lastQueries, makes, param, pipe, plus, type Policy, policy, position, prefillEnd } from "../policy/mod.ts";
import { column, queriesSeen, remember, showTerm, step, type Term, times } from "../policy/mod.ts";

/** Options of {@link diffKv}. */
export interface DiffKvOptions {
  /** Rows below this many times the mean attention are coded coarsely: the paper's alpha_h. */
  readonly high: number;
  /** Rows below this many times the mean attention leave: the paper's alpha_l. */
  readonly low: number;
  /** Newest positions that are neither; as many queries of the prompt are observed. */
  readonly window: number;
  /** What mean attention is: 1 / length for all rows, or 1 / place of the row. */
  readonly base: "length" | "place";
  /** Several scales a row at 4 and 2 bits, for long answers. */
  readonly groups: boolean;
}

const term: Term<DiffKvOptions> = {
  name: "diffkv",
  about:
    "important rows in 8 and 4 bits, others in 4 and 2, the least pruned, per head by thresholds; when heads differ and no budget is given",
  params: {
    high: param.decimal("high", 0, 1000),
    low: param.decimal("low", 0, 1000),
    window: param.count("window", 1, 4096),
    base: param.choice("base", ["length", "place"]),
    groups: param.flag("groups"),
  },
  defaults: { high: 1, low: 0.02, window: 64, base: "length", groups: false },
};

const make = (o: DiffKvOptions): Policy => {
  const high = Math.max(o.high, o.low);
  const recent = Math.max(o.window, Math.ceil(high));
  const mass = (queries: typeof currentQueries, by: "set" | "sum") =>
    pipe(attention(queries, "sum", "max"), remember({ name: "mass", by }));
  // The mean over the queries that have weighed a row, in units of the mean attention.
  const unit = o.base === "length" ? pipe(queriesSeen(), plus(position)) : pipe(position, plus(constant(1)));
  const significance = pipe(column("mass"), dividedBy(queriesSeen(o.window)), times(unit));
  const coarse = o.groups ? { keys: "q4g64", values: "q2g32" } as const : { keys: "q4", values: "q2" } as const;
  const prune = pipe(significance, evict({ budget: above(o.low, 0), protect: { sinks: 0, recent } }));
  return policy(showTerm(term)(o), [
    block(build, [encode("q8", o.groups ? "q4g64" : "q4")]),
    block(prefillEnd, [mass(lastQueries(o.window), "set"), prune, pipe(significance, encodeBelow(coarse, { value: high, recent }))]),
    block(step, [mass(currentQueries, "sum"), pipe(significance, encodeBelow(coarse, { value: high, recent, leave: o.low }))]),
  ]);
};

/** DiffKV (arXiv 2412.03131 v3, sections 4 and 5, algorithm 1): K8V4, K4V2 or pruned.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(diffKv({ high: 3, low: 0 }).text, "diffkv(3, low=0)");
 * ```
 */
export const diffKv = (options: Partial<DiffKvOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `diffkv(high, low=, window=, base=, groups=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "DiffKV: Differentiated Memory Management for Large Language Models with Parallel KV Compaction",
  arxiv: "2412.03131",
  venue: "SOSP 2025; authors' code in zyqCSL/DiffKV, nothing copied",
  defaults: "high 1, low 0.02, window 64: Llama3-8B; one scale a row; thresholds over the length, the last 64 queries: the authors' code",
  departures: [
    "the prompt is attended to in 8 and 4 bits as it is read; the authors code it afterwards",
    "segments per head in place of pages of 6,784 bytes, rows ascending by position; no 1-bit codes",
    "a token is judged after its own query, which counts; text that is read on after the prompt is weighed by decoded tokens alone",
  ],
  example: "diffkv(1)",
};
