/**
 * PyramidKV: early layers keep many rows, late layers few, the same on average. A rewrite.
 * @module
 */
import { type Card, type Entry, param, pyramid, type Rewrite, rewrites, type Term } from "../policy/mod.ts";

/** Options of {@link pyramidKv}. */
export interface PyramidKvOptions {
  /** The last layer keeps about 1/beta of the mean; larger is steeper. */
  readonly beta: number;
}

const term: Term<PyramidKvOptions> = {
  name: "pyramid",
  about: "early layers keep more rows than late ones, the same on average; over any method with a budget, where it is tight",
  params: { beta: param.count("beta", 1, 1000) },
  defaults: { beta: 20 },
};

/** PyramidKV (arXiv 2406.02069, section 4) over any policy that evicts to rows or a share: b = B - window, the first layer keeps
 * 2b - floor(b / beta) + window rows, the last about floor(b / beta) + window. The window is what the eviction protects.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { snapKv } from "./snap_kv.ts";
 * assertEquals(pyramidKv()(snapKv({ rows: 512, window: 8 })).text, "snapkv(512, window=8)|pyramid(20)");
 * ```
 */
export const pyramidKv = (options: Partial<PyramidKvOptions> = {}): Rewrite => pyramid({ ...term.defaults, ...options }.beta);

/** `|pyramid(beta)` in text. */
export const entry: Entry = rewrites(term, pyramidKv);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling",
  arxiv: "2406.02069",
  venue: "2024; followed through Zefan-Cai/KVCache-Factory, nothing copied",
  defaults: "beta 20: the authors' class and scripts",
  departures: [
    "a step of (hi - lo) / (layers - 1); older copies of the code divide by the number of layers",
    "works on any score; the paper's own is snapkv(512, window=8)|pyramid",
  ],
  example: "snapkv(512, window=8)|pyramid(20)",
};
