/**
 * LagKV: rows that spread widely on the scale of the rows after them stay; no attention needed.
 * @module
 */
import { afterPrefill, type Budgeted, type Card, constructs, type Entry, evict, lagSpread, makes, param, percent } from "../policy/mod.ts";
import { pipe, type Policy, share, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link lagKv} beside its size. */
export interface LagKvOptions {
  /** First rows, which always stay. */
  readonly sinks: number;
  /** Rows per block. */
  readonly lag: number;
  /** Compare spreads across blocks instead of ranks inside them. */
  readonly cross: boolean;
}

const term: Term<Budgeted<LagKvOptions>> = {
  name: "lagkv",
  about: "keeps rows that spread widely on the scale of the block after theirs; where no attention can be seen",
  params: {
    budget: param.size,
    sinks: param.count("sinks", 0, 65536),
    lag: param.count("lag", 1, 65536),
    cross: param.flag("cross"),
  },
  defaults: { budget: share(percent(50)), sinks: 4, lag: 128, cross: false },
};

const make = (o: Budgeted<LagKvOptions>): Policy =>
  pipe(lagSpread(o.sinks, o.lag, !o.cross), evict({ budget: o.budget }), afterPrefill(showTerm(term)(o), false));

/** LagKV (arXiv 2504.04704, equations 1 to 4): x' = (x - min) / (max - min) with min and max of the next block, softmax over the block of
 * the deviation over channels, mean over keys and values; ranks inside the block decide. Sinks, the last block and the tail score 1.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(lagKv({ rows: 512, lag: 64 }).text, "lagkv(512, lag=64)");
 * ```
 */
export const lagKv: (options?: Sized<LagKvOptions>) => Policy = constructs(term, make);

/** `lagkv(rows, sinks=, lag=, cross=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "LagKV: Lag-Relative Information of the KV Cache Tells Which Tokens Are Important",
  arxiv: "2504.04704",
  venue: "2025; followed through NVIDIA/kvpress, nothing copied",
  defaults: "4 sinks, blocks of 128, ranks: NVIDIA/kvpress; half of the prompt, which is ours",
  departures: ["a channel without range in the next block counts as 0 instead of dividing by zero"],
  example: "lagkv(50%)",
};
