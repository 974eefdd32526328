/**
 * KVzap: a small network reads off the hidden state what a row will be worth; rows below a threshold leave when they leave the window.
 * @module
 */
import { above, admit, append, block, type Card, chunk, column, type Entry, evict, learned, makes, onExit, param } from "../policy/mod.ts";
import { type Policy, policy, prefillEnd, remember, showTerm, step, type Term } from "../policy/mod.ts";

/** Options of {@link kvzap}. */
export interface KvzapOptions {
  /** Rows of a smaller predicted logarithm of the KVzip+ score leave; equality stays. Infinite ones count as the largest f32. */
  readonly threshold: number;
  /** Newest positions that always stay. */
  readonly window: number;
  /** First positions that always stay; the paper has none, SmolLM2 needs them. */
  readonly sinks: number;
  /** Which network: the model is opened with its weights under the name `kvzap-mlp` or `kvzap-linear`. */
  readonly scorer: "mlp" | "linear";
  /** `streaming`: rows leave while the prompt is read, so later chunks attend the pruned cache. `dense`: after the prompt, as in the paper. */
  readonly prefill: "streaming" | "dense";
  /** Also decide rows that leave the window while decoding. */
  readonly decode: boolean;
}

const term: Term<KvzapOptions> = {
  name: "kvzap",
  about:
    "drops rows whose predicted score is below a threshold as they leave the window; for any long text, where the model has its network",
  params: {
    threshold: param.real("threshold"),
    window: param.count("window", 0, 65536),
    sinks: param.count("sinks", 0, 65536),
    scorer: param.choice("scorer", ["mlp", "linear"]),
    prefill: param.choice("prefill", ["streaming", "dense"]),
    decode: param.flag("decode"),
  },
  defaults: { threshold: -4, window: 128, sinks: 4, scorer: "mlp", prefill: "streaming", decode: true },
};

const largest = 3.4028234663852886e38;

const make = (o: KvzapOptions): Policy => {
  const threshold = Math.min(largest, Math.max(-largest, o.threshold));
  const score = column("kvzap");
  const scores = block(append, [remember({ name: "kvzap", by: "set" })(learned(`kvzap-${o.scorer}`))]);
  const leave = evict({ budget: above(threshold, 0), protect: { sinks: o.sinks, recent: o.window } })(score);
  const streaming = o.decode
    ? block(o.window === 0 ? append : onExit(o.window), [admit(threshold, o.sinks)(score)])
    : block(chunk, [leave]);
  const dense = [block(prefillEnd, [leave]), ...o.decode ? [block(step, [leave])] : []];
  return policy(showTerm(term)(o), [scores, ...o.prefill === "streaming" ? [streaming] : dense]);
};

/** KVzap (arXiv 2601.07891, algorithm 1): of the rows outside the window those with f(hidden) >= threshold stay, per KV head.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kvzap({ threshold: -5, scorer: "linear" }).text, "kvzap(-5, scorer=linear)");
 * ```
 */
export const kvzap = (options: Partial<KvzapOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `kvzap(threshold, window=, sinks=, scorer=, prefill=, decode=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KVzap: Fast, Adaptive, and Faithful KV Cache Pruning",
  arxiv: "2601.07891",
  venue: "arXiv 2026; authors' code in NVIDIA/kvpress, nothing copied",
  defaults: "threshold -4 and the MLP: the paper's choice for Qwen3; window 128",
  departures: [
    "4 sinks, the paper has none: without them SmolLM2 loses 0.10 nats/token at half of the rows, with them 0.003 (docs/results/kvzap.md)",
    "prefill=streaming (no part of the paper) lets rows go while the prompt is still read; prefill=dense is the paper's order",
    "rows are removed from memory; the authors' code masks them",
    "scores are computed in f32; the authors' in the model's type",
  ],
  example: "kvzap(-4)",
};
