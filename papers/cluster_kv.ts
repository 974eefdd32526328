/**
 * ClusterKV: keys of like direction are clusters, and every query reads the clusters whose centroids promise most. Nothing leaves.
 * @module
 */
import { block, type Budgeted, type Card, centroid, clusters, constructs, type Entry, every, layersFrom, makes } from "../policy/mod.ts";
import { onLayers, param, pipe, type Policy, policy, prefillEnd, remember, rows, select, showTerm } from "../policy/mod.ts";
import { type Sized, step, type Term } from "../policy/mod.ts";

/** Options of {@link clusterKv} beside its size, which counts sinks and unclustered rows. */
export interface ClusterKvOptions {
  /** Rows of the prompt per cluster, on average. */
  readonly per: number;
  /** First positions, which no cluster takes in and every query reads. */
  readonly sinks: number;
  /** Decoded tokens that are clustered together; until then every query reads them. */
  readonly window: number;
  /** Clusters that they make, at most one for two rows. */
  readonly added: number;
  /** Most rounds of k-means. */
  readonly iterations: number;
  /** Of the rows that clusters start from. */
  readonly seed: number;
  /** First layers whose queries read everything. */
  readonly dense: number;
}

const term: Term<Budgeted<ClusterKvOptions>> = {
  name: "clusterkv",
  about: "keeps everything, but each decoded token reads only the clusters of like keys that promise most; where pages mix topics",
  params: {
    budget: param.size,
    per: param.count("per", 4, 65536),
    sinks: param.count("sinks", 0, 65536),
    window: param.count("window", 2, 65536),
    added: param.count("added", 1, 65536),
    iterations: param.count("iterations", 0, 1000),
    seed: param.count("seed", 0, 2 ** 32 - 1),
    dense: param.count("dense", 0, 4096),
  },
  defaults: { budget: rows(1024), per: 80, sinks: 16, window: 320, added: 4, iterations: 20, seed: 1, dense: 2 },
};

const make = (o: Budgeted<ClusterKvOptions>): Policy => {
  const group = (count: number) => remember({ name: "cluster", by: "set", initial: -1 })(clusters({ into: "cluster", count, ...o }));
  const read = policy(showTerm(term)(o), [
    block(prefillEnd, [group(0)]),
    block(every(o.window), [group(o.added)]),
    block(step, [pipe(centroid("cluster"), select(o.budget, { sinks: o.sinks, recent: 0 }))]),
  ]);
  return o.dense === 0 ? read : policy(read.text, onLayers(layersFrom(o.dense))(read).blocks);
};

/** ClusterKV (arXiv 2412.03213, section III): cosine k-means per KV head, clusters read by q.centroid, the last cut to its oldest rows.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(clusterKv({ rows: 512, seed: 7 }).text, "clusterkv(512, seed=7)");
 * ```
 */
export const clusterKv: (options?: Sized<ClusterKvOptions>) => Policy = constructs(term, make);

/** `clusterkv(rows, per=, sinks=, window=, added=, iterations=, seed=, dense=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "ClusterKV: Manipulating LLM KV Cache in Semantic Space for Recallable Compression",
  arxiv: "2412.03213",
  venue: "DAC 2025; followed through sjtu-zhao-lab/ClusterKV, nothing copied",
  defaults:
    "one cluster for 80 rows, 16 sinks, 320 tokens to 4 clusters, 20 rounds, first two layers dense: the paper; 1024 rows: its code",
  departures: [
    "one choice per KV head, by the largest product in its group of query heads; the paper chooses per query head",
    "sinks and unclustered rows count toward the budget, so that what is read is exactly the budget",
    "clusters start from seeded rows of as many stretches of the text, not from draws with replacement; centroids are means of final rows",
  ],
  example: "clusterkv(1024)",
};
