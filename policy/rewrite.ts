/**
 * Rewrites: what the literature calls wrappers, as functions from policy to policy. Each adds itself to the text after a
 * bar, `knorm(25%)|ada(20%)`, and returns the very policy where it changes nothing, so applying one twice is applying it once.
 *
 * ```ts
 * import { pipe } from "fp-ts/function.js";
 * import { assertEquals } from "@std/assert";
 * import { percent, rows } from "./budget.ts";
 * import { prefillEnd } from "./moment.ts";
 * import { block, policy } from "./policy.ts";
 * import { position } from "./score.ts";
 * import { evict } from "./verb.ts";
 * const recent = policy("recent", [block(prefillEnd, [pipe(position, evict({ budget: rows(64) }))])]);
 * const p = pipe(recent, adaptive(percent(20)), streaming);
 * assertEquals([p.text, p.blocks[0]?.moment._tag], ["recent|ada(20%)|streaming", "Append"]);
 * assertEquals(streaming(p), p);
 * ```
 * @module
 */
import { budgetPerLayer, lowest, pyramidal, showBudget, showRatio } from "./budget.ts";
import { blockEq, blocksEq } from "./equal.ts";
import { append, every, prefillEnd, showLayers, showMoment, step } from "./moment.ts";
import { block, policy } from "./policy.ts";
import { constant, norm, plus, promote, times } from "./score.ts";
import { closeGaps, encodeToFit } from "./verb.ts";
import type { Block, Budget, Fit, Layers, Moment, Policy, Protect, Ratio, Verb } from "./types.ts";

/** A function from policy to policy. */
export type Rewrite = (of: Policy) => Policy;

/** A rewrite of blocks under the name it prints as. */
export const rewrite = (text: string, change: (blocks: ReadonlyArray<Block>) => ReadonlyArray<Block>): Rewrite => (of) => {
  const blocks = change(of.blocks);
  return blocksEq.equals(blocks, of.blocks) ? of : policy(`${hasPlus(of.text) ? `(${of.text})` : of.text}|${text}`, blocks);
};

/** All blocks act at this moment. */
export const at = (moment: Moment): Rewrite => rewrite(`at(${showMoment(moment)})`, map((b) => ({ ...b, moment })));

/** All blocks touch these layers only. */
export const onLayers = (layers: Layers): Rewrite => rewrite(`layers(${showLayers(layers)})`, map((b) => ({ ...b, layers })));

/** What would be decided at the end of prefill is decided after every chunk and every decoded token: memory never grows
 * beyond the budget and one chunk. A block that then already acts after every token no longer acts at `Step` as well. */
export const streaming: Rewrite = rewrite("streaming", (blocks) => {
  const moved = map((b) => b.moment._tag === "PrefillEnd" ? { ...b, moment: append } : b)(blocks);
  return moved.filter((b) => b.moment._tag !== "Step" || !moved.some((other) => blockEq.equals(other, { ...b, moment: append })));
});

/** What acts at the end of prefill also acts after every decoded token, so that the budget holds while text is generated. */
export const decoding: Rewrite = rewrite("decoding", (blocks) =>
  blocks.flatMap((b) => {
    const decoded = { ...b, moment: step };
    return b.moment._tag === "PrefillEnd" && !blocks.some((other) => blockEq.equals(other, decoded)) ? [b, decoded] : [b];
  }));

/** What acts at every decoded token (or at another period) acts at every `steps`-th. */
export const everySteps = (steps: number): Rewrite =>
  rewrite(`every(${steps})`, map((b) => b.moment._tag === "Step" || b.moment._tag === "Every" ? { ...b, moment: every(steps) } : b));

/** Every eviction and selection gets this budget. */
export const withBudget = (budget: Budget): Rewrite => rewrite(`budget(${showBudget(budget)})`, mapVerbs(setBudget(budget)));

/** Every eviction and selection gets one budget per layer. */
export const perLayer = (budgets: ReadonlyArray<Budget>): Rewrite =>
  rewrite(`perlayer([${budgets.map(showBudget).join(", ")}])`, mapVerbs(setBudget(budgetPerLayer(budgets))));

/** Heads of a layer compete for one total of heads x budget; each keeps at least the share `floor` of the budget
 * (Ada-KV, arXiv 2407.11550). Null means no floor. Thresholds have no total to compete for and stay as they are. */
export const adaptive = (floor: Ratio | null): Rewrite => {
  const kept = floor === null ? null : lowest(floor);
  return rewrite(
    `ada(${kept === null ? "0" : showRatio(kept)})`,
    mapVerbs((v) => v._tag === "Evict" && v.budget._tag !== "Above" ? { ...v, across: "layer", floor: kept } : v),
  );
};

/** The values of rows that leave are folded into the rows with the nearest keys that stay, weighted by cosine and value norm (the rule of
 * NVIDIA/kvpress, `merging`): (v + sum of w v_e) / (1 + sum of w), w = max(0, cos) |v_e| / (|v_e| + |v|). Keys stay as they are. */
export const merging: Rewrite = rewrite("merge", mapVerbs((v) => v._tag === "Evict" ? { ...v, merge: true } : v));

/** At the end of prefill, positions become contiguous and keys turn accordingly (StreamingLLM, arXiv 2309.17453, section 3.2; kvpress'
 * `KeyRerotation`). */
export const rerotating: Rewrite = rewrite("rerotate", (blocks) => {
  const last: Block = block(prefillEnd, [closeGaps]);
  return blocks.some((b) => blockEq.equals(b, last)) ? blocks : [...blocks, last];
});

/** Evictions in two stages: `first` of the budget goes to the best rows by the score as it is, the rest to the best rows by the score (plus
 * `epsilon`) times the l1 norm of the value (CriticalKV, arXiv 2502.03805, algorithm 1). */
export const twoStages = (text: string, first: Ratio, epsilon: number): Rewrite =>
  rewrite(
    text,
    mapVerbs((v) =>
      v._tag === "Evict" && v.score._tag !== "Promote"
        ? { ...v, score: promote(v.score, first)(times(norm("values", "l1"))(plus(constant(epsilon))(v.score))) }
        : v
    ),
  );

/** Budgets of rows become as many coded rows as take the same bytes, and what is kept is coded at the same moments, but for the newest
 * `recent` positions ("More tokens, lower precision", arXiv 2412.12706). The first of the pairs, from wide to narrow, in which the whole
 * prompt has room is taken, else the last. */
export const fitting = (text: string, how: Pick<Fit, "pairs" | "counted">, recent: number): Rewrite =>
  rewrite(text, (blocks) =>
    blocks.flatMap((b) => {
      const of = b.verbs.flatMap((v) => v._tag === "Evict" && v.budget._tag !== "Above" && v.budget._tag !== "Fitted" ? [v.budget] : [])[0];
      if (of === undefined) return [b];
      const fit: Fit = { of, ...how };
      const verbs = b.verbs.map((v): Verb => v._tag === "Evict" && v.budget === of ? { ...v, budget: { _tag: "Fitted", fit } } : v);
      return [{ ...b, verbs }, { ...b, verbs: [encodeToFit(fit, recent)] }];
    }));

/** Plain budgets become pyramids around them (PyramidKV, arXiv 2406.02069); the window is what the eviction protects. */
export const pyramid = (beta: number, form: "steps" | "line" = "steps"): Rewrite =>
  rewrite(
    `pyramid(${beta}${form === "steps" ? "" : `, form=${form}`})`,
    mapVerbs((v) => {
      if (v._tag !== "Evict" || (v.budget._tag !== "Rows" && v.budget._tag !== "Share")) return v;
      const window = typeof v.protect.recent === "number" ? v.protect.recent : 0;
      return { ...v, budget: pyramidal({ window, beta, form })(v.budget) };
    }),
  );

/** Every eviction protects these rows instead of those it protected; an admission only has sinks, its window is its moment's. */
export const protect = ({ sinks, recent }: Protect): Rewrite => {
  const newest = typeof recent === "number" ? recent : lowest(recent);
  const shown = newest === 0 ? "" : `, recent=${typeof newest === "number" ? newest : showRatio(newest)}`;
  return rewrite(
    `protect(${sinks}${shown})`,
    mapVerbs((v) => v._tag === "Evict" ? { ...v, protect: { sinks, recent: newest } } : v._tag === "Admit" ? { ...v, sinks } : v),
  );
};

const setBudget = (budget: Budget) => (v: Verb): Verb => v._tag === "Evict" || v._tag === "Select" ? { ...v, budget } : v;

function map(change: (block: Block) => Block): (blocks: ReadonlyArray<Block>) => ReadonlyArray<Block> {
  return (blocks) => blocks.map(change);
}

function mapVerbs(change: (verb: Verb) => Verb): (blocks: ReadonlyArray<Block>) => ReadonlyArray<Block> {
  return map((b) => ({ ...b, verbs: b.verbs.map(change) }));
}

/** True if a plus joins terms outside all brackets: then a bar would bind to the last of them only. */
function hasPlus(text: string): boolean {
  let depth = 0;
  for (const c of text) {
    if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    else if (c === "+" && depth === 0) return true;
  }
  return false;
}
