/**
 * PyramidKV: early layers keep many rows, late layers few, the same on average. A rewrite.
 * @module
 */
import { type Card, type Entry, param, pyramid, type Rewrite, rewrites, type Term } from "../policy/mod.ts";

/** Options of {@link pyramidKv}. */
export interface PyramidKvOptions {
  /** The last layer keeps about 1/beta of the mean; larger is steeper. */
  readonly beta: number;
  /** Equal whole steps from layer to layer (the authors' code), or a line of which each layer's share is rounded (kvpress). */
  readonly form: "steps" | "line";
}

const term: Term<PyramidKvOptions> = {
  name: "pyramid",
  about: "early layers keep more rows than late ones, the same on average; over any method with a budget, where it is tight",
  params: { beta: param.count("beta", 1, 1000), form: param.choice("form", ["steps", "line"]) },
  defaults: { beta: 20, form: "steps" },
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
export const pyramidKv = (options: Partial<PyramidKvOptions> = {}): Rewrite => {
  const { beta, form } = { ...term.defaults, ...options };
  return pyramid(beta, form);
};

/** `|pyramid(beta, form=)` in text. */
export const entry: Entry = rewrites(term, pyramidKv);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling",
  arxiv: "2406.02069",
  venue: "2024; followed through Zefan-Cai/KVCache-Factory, nothing copied",
  defaults: "beta 20: the authors' class and scripts",
  departures: [
    "a step of floor((hi - lo) / (layers - 1)), which makes the mean a little more than the budget; older copies divide by layers",
    "prompts below 2 (B - window) are flat; form=line is kvpress's, whose first layer keeps 2B - B / beta, the window within",
    "works on any score; the paper's own is snapkv(512, window=8)|pyramid",
  ],
  example: "snapkv(512, window=8)|pyramid(20)",
};
