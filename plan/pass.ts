/**
 * Older rows pass on to the store of their layer, and the tail closes up behind them.
 * @module
 */
import type { Slot } from "../backends/program.ts";
import { codecName, rowBytes } from "../cache/codec.ts";
import type { Codec } from "../cache/types.ts";
import type { Below } from "../policy/types.ts";
import type { PlannedVerb } from "./blocks.ts";
import { emit, temp } from "./draft.ts";
import { type Lowering, lowerScore, startLowering } from "./lower.ts";
import { dropChannels } from "./lower_queries.ts";
import type { Site } from "./site.ts";
import type { Draft, StoreSlots } from "./types.ts";
import { storeSite, word } from "./woven.ts";

type Encode = Extract<PlannedVerb, { readonly _tag: "Encode" }>;

/** Which rows of the tail stay and which pass on: indices and counts. */
interface Leaving {
  readonly keep: Slot;
  readonly counts: Slot;
  readonly leave: Slot;
  readonly leaving: Slot;
}

/** Rows older than the verb's window, those below its score where it has one, in whole groups of the store; or one of them at a time. */
export const pass = (site: Site, verb: Encode) => (state: Lowering): Lowering => {
  const { slots, shape: { kvHeads: heads } } = site;
  const { store } = slots;
  const stored = storeSite(site);
  if (store === null || stored === null) return state;
  const { below, recent } = verb;
  const [{ keep, counts, leave, leaving }, chosen] = below === null || below.leave === null
    ? choose(site, verb)(state)
    : chooseOne(site, stored, { ...below, leave: below.leave, recent })(state);
  const thinned = verb.channels === null || site.plan.store === null
    ? chosen
    : dropChannels(site, verb.channels, site.plan.store.keyCodec, leave, leaving)(chosen);
  const moved = moves(site, store).reduce((draft: Draft, { from, to, dim, codecs: [source, target] }) => {
    const params = { heads, dim, sourceCodec: codecName(source), targetCodec: codecName(target) };
    return emit({ op: "transfer", args: [from, leave, leaving, slots.layout, store.layout, to], params })(draft);
  }, thinned);
  const longer = emit({ op: "lengthen", args: [leaving, store.layout], params: { heads } })(moved);
  const placed = verb.below === null ? longer : insert(site, store, leaving)(longer);
  const draft = shut(site, state.named, keep, counts)(placed);
  return { draft, memo: new Map(), named: state.named };
};

/** All old rows, or those of them below a score. */
const choose = (site: Site, { recent, below }: Encode) => (state: Lowering): readonly [Leaving, Draft] => {
  const { slots, shape: { kvHeads: heads }, plan } = site;
  const { score: judged, value } = below ?? { score: { _tag: "Constant", value: 0 } as const, value: 1 };
  const [score, scored] = lowerScore(site, judged)(state);
  const [to, draft] = leavingTemps(site)(scored.draft);
  const args = [score, slots.position, slots.layout, slots.newest, to.keep, to.counts, to.leave, to.leaving];
  return [to, emit({ op: "split", args, params: { heads, value, sinks: 0, recent, group: plan.store?.group ?? 1 } })(draft)];
};

/** What chooses one row at a time. */
type One = Below & { readonly leave: number; readonly recent: number };

/** The one row a head that passes on or leaves; the store closes up over the one that leaves it. */
const chooseOne = (site: Site, stored: Site, { score, value, leave, recent }: One) => (state: Lowering): readonly [Leaving, Draft] => {
  const { slots, shape: { kvHeads: heads } } = site;
  const [fine, s1] = lowerScore(site, score)(state);
  const [coarse, s2] = lowerScore(stored, score)(startLowering(s1.draft));
  const [to, d1] = leavingTemps(site)(s2.draft);
  const [keep, d2] = temp("keep", stored.slots.capacity * 4)(d1);
  const [counts, d3] = temp("counts", heads * 4)(d2);
  const args = [fine, slots.position, slots.layout, coarse, stored.slots.layout, slots.newest];
  const params = { heads, high: value, low: leave, recent };
  const d4 = emit({ op: "demote", args: [...args, to.keep, to.counts, to.leave, to.leaving, keep, counts], params })(d3);
  return [to, shut(stored, new Map(), keep, counts)(d4)];
};

const leavingTemps = ({ slots, shape: { kvHeads: heads } }: Site) => (draft: Draft): readonly [Leaving, Draft] => {
  const [keep, d1] = temp("keep", slots.capacity * 4)(draft);
  const [counts, d2] = temp("counts", heads * 4)(d1);
  const [leave, d3] = temp("leave", slots.capacity * 4)(d2);
  const [leaving, d4] = temp("leaving", heads * 4)(d3);
  return [{ keep, counts, leave, leaving }, d4];
};

interface Move {
  readonly from: Slot;
  readonly to: Slot;
  readonly dim: number;
  readonly codecs: readonly [source: Codec, target: Codec];
}

/** What travels with a row, positions last. */
const moves = ({ slots, shape, plan }: Site, store: StoreSlots): ReadonlyArray<Move> => [
  { from: slots.keys, to: store.keys, dim: shape.keyDim, codecs: [plan.keyCodec, plan.store?.keyCodec ?? plan.keyCodec] },
  { from: slots.values, to: store.values, dim: shape.valueDim, codecs: [plan.valueCodec, plan.store?.valueCodec ?? plan.valueCodec] },
  ...Object.entries(store.columns).flatMap(([name, to]) => {
    const from = slots.columns[name];
    return from === undefined ? [] : [{ from, to, dim: 1, codecs: [word, word] as const }];
  }),
  { from: slots.position, to: store.position, dim: 1, codecs: [word, word] },
];

/** Rows that pass on by their score go where their positions belong. */
const insert = (site: Site, store: StoreSlots, leaving: Slot) => (draft: Draft): Draft =>
  moves(site, store).reduce((d, { to, dim, codecs: [, target] }) => {
    const params = { heads: site.shape.kvHeads, rowBytes: rowBytes(target, dim) };
    return emit({ op: "insertRows", args: [store.position, leaving, store.layout, to], params })(d);
  }, draft);

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

/** The rows of a tier that are kept close up, and its lengths follow. */
export const shut = (site: Site, named: Lowering["named"], keep: Slot, counts: Slot) => (draft: Draft): Draft => {
  const { slots: { layout }, shape: { kvHeads: heads } } = site;
  return emit({ op: "truncate", args: [counts, layout], params: { heads } })(closeUp(site, named, keep, counts, layout)(draft));
};
