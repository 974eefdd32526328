/**
 * FastGen: the prompt tells which of five nested rules each head gets by with.
 * @module
 */
import { above, append, attention, block, type Card, column, currentQueries, type Entry, evict, lowest, makes } from "../policy/mod.ts";
import { nearby, obey, param, percent, pipe, type Policy, policy, prefillEnd, profile, type Ratio, remember } from "../policy/mod.ts";
import { showTerm, step, type Term, tokenClass } from "../policy/mod.ts";

/** Options of {@link fastGen}. */
export interface FastGenOptions {
  /** Share of a head's attention that its rule must recover on the prompt, above 0, at most 1. */
  readonly recovery: number;
  /** Heavy hitters, as a share of the tokens seen. */
  readonly frequent: Ratio;
  /** The local window, as a share of the prompt. */
  readonly local: Ratio;
  /** First positions that every rule keeps. */
  readonly sinks: number;
}

const term: Term<FastGenOptions> = {
  name: "fastgen",
  about: "each head gets the cheapest of five rules that recovers its attention to the prompt; when heads differ much",
  params: {
    recovery: param.decimal("recovery", 0.000001, 1),
    frequent: param.share("frequent"),
    local: param.share("local"),
    sinks: param.count("sinks", 0, 65536),
  },
  defaults: { recovery: 0.95, frequent: percent(30), local: percent(30), sinks: 0 },
};

const make = (o: FastGenOptions): Policy => {
  const [mass, near, kind] = [column("mass"), column("near"), column("class")];
  const of = { mass, kind, rules: { frequent: lowest(o.frequent), local: lowest(o.local), sinks: o.sinks } };
  const observe = [
    pipe(tokenClass, remember({ name: "class", by: "set" })),
    pipe(attention(currentQueries, "sum", "mean"), remember({ name: "mass", by: "sum" })),
    pipe(nearby(lowest(o.local), "mean"), remember({ name: "near", by: "sum" })),
  ];
  const choose = pipe(profile({ ...of, near, recovery: o.recovery }), remember({ name: "rule", by: "set" }));
  const leave = pipe(obey({ ...of, rule: column("rule") }), evict({ budget: above(0.5, 1) }));
  return policy(showTerm(term)(o), [block(append, observe), block(prefillEnd, [choose, leave]), block(step, [leave])]);
};

/** FastGen (arXiv 2310.01801, section 3, algorithms 1 and 2): special tokens; and punctuation; and heavy hitters; and the local window;
 * everything. The first that recovers `recovery` of the attention in the prompt is the head's rule from then on.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(fastGen({ recovery: 0.9 }).text, "fastgen(0.9)");
 * ```
 */
export const fastGen = (options: Partial<FastGenOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `fastgen(recovery, frequent=, local=, sinks=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Model Tells You What to Discard: Adaptive KV Cache Compression for LLMs",
  arxiv: "2310.01801",
  venue: "ICLR 2024; followed through AnswerDotAI/cold-compress, nothing copied",
  defaults: "30 % frequent, 30 % local, recovery 0.95: the paper's head statistics; no sinks (cold-compress forces 4)",
  departures: [
    "grouped queries share a rule, from the mean of their attention; the paper has one query head per KV head",
    "recovered mass is the mean over prompt rows, the total-variation form of equation 1, whose norm the paper leaves open",
    "heavy hitters are chosen by mean attention among rows that no other part of the rule keeps, as in cold-compress; the paper says neither",
    "all history counts toward heavy hitters; a token attends to itself once before its rule may drop it",
  ],
  example: "fastgen(0.95)",
};
