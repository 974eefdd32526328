/**
 * KIVI: old keys in few bits per channel, old values in few bits per token, the newest rows as they are.
 * @module
 */
import {
  block,
  type Card,
  encode,
  type Entry,
  makes,
  param,
  type Policy,
  policy,
  prefillEnd,
  showTerm,
  step,
  type Term,
} from "../policy/mod.ts";

/** Options of {@link kivi}. */
export interface KiviOptions {
  /** Bits per number of the old rows. */
  readonly bits: "2" | "4" | "8";
  /** Newest positions that stay as they are stored otherwise. */
  readonly residual: number;
}

const term: Term<KiviOptions> = {
  name: "kivi",
  about: "stores old keys in few bits per channel and old values in few bits per token; for long texts where rows must all stay",
  params: { bits: param.choice("bits", ["2", "4", "8"]), residual: param.count("residual", 0, 4096) },
  defaults: { bits: "2", residual: 128 },
};

const make = (o: KiviOptions): Policy => {
  const old = encode(`q${o.bits}c32`, `q${o.bits}g32`, o.residual);
  return policy(showTerm(term)(o), [block(prefillEnd, [old]), block(step, [old])]);
};

/** KIVI (arXiv 2402.02750, algorithm 1): groups of 32, the prompt attended to before it is coded; 3.0 bits per old number at 2 bits.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kivi({ bits: "4" }).text, "kivi(4)");
 * ```
 */
export const kivi = (options: Partial<KiviOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `kivi(bits, residual=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache",
  arxiv: "2402.02750",
  venue: "ICML 2024; authors' code in jy-yuan/KIVI, nothing copied",
  defaults: "2 bits, groups of 32, a residual of 128: the paper's; 4 bits are advised for grouped query heads",
  departures: [
    "keys and values pass on together in blocks of 32 rows, so 128 to 159 rows stay; the authors move keys 128 at a time and values singly",
    "scale and offset round to f16 before codes are derived, and a constant group decodes to its number",
    "with streaming the prompt too is coded as it is read",
  ],
  example: "kivi(2)",
};
