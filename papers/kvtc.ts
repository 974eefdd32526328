/**
 * KVTC: a cache stored as coefficients of calibrated transforms, many times smaller, and decoded before it is attended to.
 * @module
 */
import {
  block,
  type Card,
  type Entry,
  makes,
  param,
  type Policy,
  policy,
  prefillEnd,
  showTerm,
  type Term,
  transform,
} from "../policy/mod.ts";

/** Options of {@link kvtc}. */
export interface KvtcOptions {
  /** Bits of 16-bit numbers per bit of coefficients, before DEFLATE takes its share. */
  readonly ratio: number;
  /** First positions that stay exact. */
  readonly sinks: number;
  /** Newest positions that stay exact. */
  readonly recent: number;
}

const term: Term<KvtcOptions> = {
  name: "kvtc",
  about:
    "stores the cache as coefficients of calibrated transforms between prompt and answer; to keep or send caches, not to attend faster",
  params: { ratio: param.decimal("ratio", 1, 1024), sinks: param.count("sinks", 0, 4096), recent: param.count("recent", 0, 4096) },
  defaults: { ratio: 10, sinks: 4, recent: 128 },
};

const make = (o: KvtcOptions): Policy => policy(showTerm(term)(o), [block(prefillEnd, [transform(o.ratio, o.sinks, o.recent)])]);

/** KVTC (arXiv 2511.01815): what a policy leaves at the end of a prompt is coded and decoded; `saveSession` writes the same form to a file.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kvtc({ ratio: 16 }).text, "kvtc(16)");
 * ```
 */
export const kvtc = (options: Partial<KvtcOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `kvtc(ratio, sinks=, recent=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KV Cache Transform Coding for Compact Storage in LLM Inference",
  arxiv: "2511.01815",
  venue: "ICLR 2026",
  defaults: "4 sinks and a window of 128 exact, groups of 1, 16, 64, 256 and 1024 coefficients: the paper's; a ratio of 10, of its 8 to 64",
  departures: [
    "components over a few neighbouring layers, not all (kvfold train kvtc --layers): a basis of all would be as large as the model",
    "an 8-bit grid beside 8-bit floats, and floats scaled to their group; the programme takes what errs least",
    "products of whole bytes, which lose 0.0001 of the energy, where the bit plan loses 0.005 or more",
    "coded once, between prompt and answer; rows that are decoded later stay exact",
    "sinks in 16 bits where the paper has 8; scales and shifts are f16",
    "where heads keep different tokens, a head without a token counts as its mean and is left out again",
  ],
  example: "kvtc(10)",
};
