/**
 * Older rows pass on to the store of their layer, and the tail closes up behind them.
 * @module
 */
import type { Slot } from "../backends/program.ts";
import { codecName, rowBytes } from "../cache/codec.ts";
import type { PlannedVerb } from "./blocks.ts";
import { emit, temp } from "./draft.ts";
import { type Lowering, lowerScore } from "./lower.ts";
import type { Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** Rows older than the verb's window, those below its score where it has one, in whole groups of the store. */
export const pass = (site: Site, { recent, below }: Extract<PlannedVerb, { readonly _tag: "Encode" }>) => (state: Lowering): Lowering => {
  const { slots, shape: { kvHeads: heads, keyDim, valueDim }, plan } = site;
  if (slots.store === null || plan.store === null) return state;
  const { score: judged, value } = below ?? { score: { _tag: "Constant", value: 0 } as const, value: 1 };
  const [score, scored] = lowerScore(site, judged)(state);
  const [keep, d1] = temp("keep", slots.capacity * 4)(scored.draft);
  const [counts, d2] = temp("counts", heads * 4)(d1);
  const [leave, d3] = temp("leave", slots.capacity * 4)(d2);
  const [leaving, d4] = temp("leaving", heads * 4)(d3);
  const args = [score, slots.position, slots.layout, slots.newest, keep, counts, leave, leaving];
  const split = emit({ op: "split", args, params: { heads, value, sinks: 0, recent, group: plan.store.group } })(d4);
  const moves = [
    [slots.keys, slots.store.keys, keyDim, plan.keyCodec, plan.store.keyCodec],
    [slots.values, slots.store.values, valueDim, plan.valueCodec, plan.store.valueCodec],
    [slots.position, slots.store.position, 1, word, word],
  ] as const;
  const { layout } = slots.store;
  const moved = moves.reduce((draft: Draft, [from, to, dim, source, target]) => {
    const params = { heads, dim, sourceCodec: codecName(source), targetCodec: codecName(target) };
    return emit({ op: "transfer", args: [from, leave, leaving, slots.layout, layout, to], params })(draft);
  }, split);
  const longer = emit({ op: "lengthen", args: [leaving, layout], params: { heads } })(moved);
  const closed = closeUp(site, scored.named, keep, counts, slots.layout)(longer);
  const draft = emit({ op: "truncate", args: [counts, slots.layout], params: { heads } })(closed);
  return { draft, memo: new Map(), named: scored.named };
};

/** Positions move as they are. */
const word = { _tag: "Plain", dtype: "f32" } as const;

/** Keys, values, positions, remembered columns and named scores close up over the rows that are kept; lengths stay. */
export const closeUp =
  ({ slots, shape, plan }: Site, named: Lowering["named"], keep: Slot, counts: Slot, layout: Slot) => (draft: Draft): Draft => {
    const rows: ReadonlyArray<readonly [Slot, number]> = [
      [slots.keys, rowBytes(plan.keyCodec, shape.keyDim)],
      [slots.values, rowBytes(plan.valueCodec, shape.valueDim)],
      [slots.position, 4],
      ...Object.values(slots.columns).map((c) => [c, 4] as const),
      ...[...new Set(named.values())].map((c) => [c, 4] as const),
    ];
    return rows.reduce(
      (d, [slot, width]) =>
        emit({ op: "compact", args: [slot, keep, counts, layout, layout, slot], params: { heads: shape.kvHeads, rowBytes: width } })(d),
      draft,
    );
  };
