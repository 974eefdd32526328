/**
 * ThinK: keys have channels that the queries make little of; of old rows those are not stored.
 * @module
 */
import { block, type Card, encodeChannels, type Entry, makes, param, type Policy, policy, prefillEnd } from "../policy/mod.ts";
import { showTerm, type Term } from "../policy/mod.ts";

/** Options of {@link think}. */
export interface ThinkOptions {
  /** Share of the channels of keys that is not stored. */
  readonly drop: "10%" | "20%" | "30%" | "40%" | "50%" | "60%" | "70%" | "80%" | "90%";
  /** Newest queries of the prompt, which choose. */
  readonly queries: number;
  /** Newest positions whose keys stay whole. */
  readonly recent: number;
}

const keys = {
  "10%": "f16k90",
  "20%": "f16k80",
  "30%": "f16k70",
  "40%": "f16k60",
  "50%": "f16k50",
  "60%": "f16k40",
  "70%": "f16k30",
  "80%": "f16k20",
  "90%": "f16k10",
} as const;

const term: Term<ThinkOptions> = {
  name: "think",
  about:
    "stores old keys without the channels that the queries make least of; over an eviction, when memory must shrink and rows must stay",
  params: {
    drop: param.choice("drop", ["10%", "20%", "30%", "40%", "50%", "60%", "70%", "80%", "90%"]),
    queries: param.count("queries", 1, 4096),
    recent: param.count("recent", 0, 65536),
  },
  defaults: { drop: "40%", queries: 32, recent: 32 },
};

const make = ({ drop, queries, recent }: ThinkOptions): Policy =>
  policy(showTerm(term)({ drop, queries, recent }), [block(prefillEnd, [encodeChannels(keys[drop], { queries, recent })])]);

/** ThinK (arXiv 2407.21018): per KV head, the channels of least mean(q^2) over the last queries of the group times mean(k^2) over rows go.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(think({ drop: "50%" }).text, "think(50%)");
 * ```
 */
export const think = (options: Partial<ThinkOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `think(drop, queries=, recent=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "ThinK: Thinner Key Cache by Query-Driven Pruning",
  arxiv: "2407.21018",
  venue: "followed through NVIDIA/kvpress, nothing copied",
  defaults: "32 queries: kvpress; 40 % and a window of 32 rows are kvfold's choice",
  departures: [
    "channels really go: a row stores the numbers of those it keeps, and one bit per channel that says which; kvpress writes zeros",
    "the newest rows, and those decoded later, stay whole; kvpress thins all rows of the prompt",
    "an odd number of kept channels becomes even, so that rows are whole words; values stay as they are, as f16",
  ],
  example: "think(40%)",
};
