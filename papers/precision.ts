/**
 * More tokens, lower precision: the same bytes hold more rows in fewer bits. A rewrite of any policy that evicts to a budget.
 * @module
 */
import { type Card, type CodecPair, type Entry, type Fit, fitting, param } from "../policy/mod.ts";
import { type Rewrite, rewrites, showTerm, type Term } from "../policy/mod.ts";

/** Options of {@link precision}. */
export interface PrecisionOptions {
  /** Bits per number; `auto`: 16, 8 or 4, as few as it takes to keep the whole prompt, 4 where nothing does. */
  readonly bits: "auto" | "8" | "4" | "2";
  /** Neighbouring channels that share a scale and an offset. */
  readonly group: "64" | "32" | "row";
  /** Keys per token, or per channel over 32 rows as in KIVI. */
  readonly keys: "token" | "channel";
  /** What a row costs: bytes with scales and offsets, or bits alone as in the paper. */
  readonly count: Fit["counted"];
  /** Newest positions that stay as they are stored otherwise. */
  readonly recent: number;
}

const term: Term<PrecisionOptions> = {
  name: "precision",
  about: "the bytes of the budget in more rows of fewer bits; for budgets of a quarter and less",
  params: {
    bits: param.choice("bits", ["auto", "8", "4", "2"]),
    group: param.choice("group", ["64", "32", "row"]),
    keys: param.choice("keys", ["token", "channel"]),
    count: param.choice("count", ["bytes", "nominal"]),
    recent: param.count("recent", 0, 4096),
  },
  defaults: { bits: "4", group: "64", keys: "token", count: "bytes", recent: 0 },
};

const pairOf = (bits: "8" | "4" | "2", { group, keys }: PrecisionOptions): CodecPair => {
  const values = group === "row" ? `q${bits}` as const : `q${bits}g${group}` as const;
  return { keys: keys === "channel" ? `q${bits}c32` : values, values };
};

/** Quantised pruning (arXiv 2412.12706) of any policy that evicts to a budget: evict first, code what stays.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { percent } from "../policy/mod.ts";
 * import { snapKv } from "./snap_kv.ts";
 * assertEquals(precision({ bits: "8" })(snapKv({ share: percent(25) })).text, "snapkv(25%)|precision(8)");
 * ```
 */
export const precision = (options: Partial<PrecisionOptions> = {}): Rewrite => {
  const o = { ...term.defaults, ...options };
  const pairs = o.bits === "auto" ? [{ keys: "f16", values: "f16" } as const, pairOf("8", o), pairOf("4", o)] : [pairOf(o.bits, o)];
  return fitting(showTerm(term)(o), { pairs, counted: o.count }, o.recent);
};

/** `|precision(bits, group=, keys=, count=, recent=)` in text. */
export const entry: Entry = rewrites(term, precision);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "More Tokens, Lower Precision: Towards the Optimal Token-Precision Trade-off in KV Cache Compression",
  arxiv: "2412.12706",
  venue: "Findings of EMNLP 2025; authors' code in zhzihao/QPruningKV, nothing copied",
  defaults: "4 bits in groups of 64 channels, coded once after the prompt: the authors' code",
  departures: [
    "scales and offsets count toward the budget; count=nominal leaves them out, as the paper does",
    "per KV head, per token for keys too (keys=channel as KIVI); auto keeps 8 bits where they hold the whole prompt, never goes below 4",
  ],
  example: "snapkv(25%)|precision(4)",
};
