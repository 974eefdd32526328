/**
 * RocketKV-MT: for several turns. Every row stays; stage one, anew after every text, only says which rows stage two may read.
 * @module
 */
import { attention, block, type Card, chunk, column, type Entry, kept, lastQueries, makes, pageBound, pipe } from "../policy/mod.ts";
import { type Policy, policy, pool, prefillEnd, remember, rows, select, showTerm, step, type Term } from "../policy/mod.ts";
import { type RocketKvOptions, split, term as oneTurn } from "./rocket_kv.ts";

const term: Term<RocketKvOptions> = {
  name: "rocketkv_mt",
  about: "keeps everything, reads few rows of a view that is made anew for every turn; when later questions ask for what the first did not",
  params: oneTurn.params,
  defaults: { ...oneTurn.defaults, window: 128 },
};

const make = (o: RocketKvOptions): Policy => {
  const { survivors, page, channels, read } = split(o);
  const votes = pipe(attention(lastQueries(o.window), "sum", "sum"), pool({ by: "max", size: o.kernel, dropLast: o.window }));
  const see = remember({ name: "view", by: "set", initial: 1 })(kept(survivors, o.window)(votes));
  // New rows are in the view.
  const within = column("view", 1);
  return policy(showTerm(term)(o), [
    block(chunk, [see]),
    block(prefillEnd, [see]),
    block(step, [pipe(pageBound(page, "softmax", { channels, within }), select(rows(read)))]),
  ]);
};

/** RocketKV-MT (arXiv 2502.14051 v3, section 3.5): reads as RocketKV does, holds what the full cache holds, and bounds of pages.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(rocketKvMt({ tokens: 512 }).text, "rocketkv_mt(512)");
 * ```
 */
export const rocketKvMt = (options: Partial<RocketKvOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `rocketkv_mt(tokens, length=, answer=, window=, kernel=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "RocketKV: Accelerating Long-Context LLM Inference via Two-Stage KV Cache Compression",
  arxiv: "2502.14051",
  venue: "ICML 2025; authors' code in NVlabs/RocketKV, nothing copied",
  defaults: "those of rocketkv, and a window of 128: the paper for several turns",
  departures: [
    "the view is made after every chunk of text; that of a turn's last chunk is the one that its answer reads",
    "pages are of the whole text, not of the rows of the view: a page of which only some rows are in the view promises them what all of its " +
    "rows promise",
  ],
  example: "rocketkv_mt(256)",
};
