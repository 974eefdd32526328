/**
 * DBudgetKV: no budget to choose; each layer drops its oldest rows until the newest query would miss them.
 * @module
 */
import { block, type Card, type Entry, evict, layersFrom, makes, onLayers, over, param, pipe, type Policy, policy } from "../policy/mod.ts";
import { prefillEnd, showTerm, tailLoss, type Term } from "../policy/mod.ts";

/** Options of {@link dBudgetKv}. */
export interface DBudgetKvOptions {
  /** Share of attention norm that may be lost, from 0 to 1. */
  readonly loss: number;
  /** First positions, which always stay. */
  readonly sinks: number;
  /** Do sinks count in the norm? `candidates`: no, as in the authors' code; `all`: yes, as in the paper's equation 3. */
  readonly scope: "candidates" | "all";
  /** First layers that keep everything. */
  readonly exempt: number;
}

const term: Term<DBudgetKvOptions> = {
  name: "dbudgetkv",
  about: "each layer drops its oldest rows until 1 % of the last query's attention norm is lost; when no budget is known beforehand",
  params: {
    loss: param.decimal("loss", 0, 1),
    sinks: param.count("sinks", 0, 65536),
    scope: param.choice("scope", ["candidates", "all"]),
    exempt: param.count("exempt", 0, 4096),
  },
  defaults: { loss: 0.01, sinks: 4, scope: "candidates", exempt: 2 },
};

const make = (o: DBudgetKvOptions): Policy => {
  const stop = evict({ budget: over(o.loss, 1), protect: { sinks: o.sinks, recent: 1 } });
  const drop = policy(showTerm(term)(o), [block(prefillEnd, [pipe(tailLoss(o.sinks, o.scope), stop)])]);
  return policy(drop.text, o.exempt === 0 ? drop.blocks : onLayers(layersFrom(o.exempt))(drop).blocks);
};

/** DBudgetKV (arXiv 2502.16886, equations 1 to 3, algorithm 1; from version 3 on called ReFreeKV): once after prefill, all but the sinks
 * leave in order of position while the mean loss of l2 attention norm of the newest query is at most `loss`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(dBudgetKv({ loss: 0.05 }).text, "dbudgetkv(0.05)");
 * ```
 */
export const dBudgetKv = (options: Partial<DBudgetKvOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `dbudgetkv(loss, sinks=, scope=, exempt=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "DBudgetKV: Dynamic Budget in KV Cache Compression for Ensuring Optimal Performance",
  arxiv: "2502.16886",
  venue: "2025, later ReFreeKV; followed through Patrick-Ni/ReFreeKV, nothing copied",
  defaults: "loss 1 %, 4 sinks, one query, layers 0 and 1 exempt: the paper; sinks outside the norm: the authors' code",
  departures: [
    "one count per layer from the norms of all its query heads, as in the code; the paper speaks of layers and heads",
    "rows are ranked by position and judged by one query; the code can rank by attention or average several queries, which the paper finds worse",
  ],
  example: "dbudgetkv(0.01)",
};
