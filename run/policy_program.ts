/**
 * A plan's Append and PrefillEnd ops over a whole cache, outside a forward pass.
 * @module
 */
import { ops } from "../backends/ops.ts";
import { type Instr, NONE, type Program, type Slot } from "../backends/program.ts";
import type { KvCache } from "../cache/types.ts";
import { type OwnLayer, ownLayers } from "../cache/view.ts";
import { bound, emit, emptyDraft, finish, temp } from "../plan/draft.ts";
import type { Draft, LayerSlots, PolicyPlan, SplicePoint } from "../plan/types.ts";
import { jointOps } from "./joint.ts";
import { attendLayer, className, layerSlots, slotsFor } from "./slots.ts";

/** True if an instruction looks at queries to weigh rows. */
export const observes = ({ op }: Instr): boolean => op !== "attend" && ops[op].operands.some(({ name }) => name === "queryPosition");

/** The program: per layer the log-sum-exps of `observed` queries (bound as `L{l}.observed.queries`, `observed.position`),
 * then the plan's ops with these as the run's queries, then those of the end of prefill with the last of them as the ring. */
export const policyProgram = (plan: PolicyPlan, cache: KvCache, observed: number): Program => {
  const [slots, draft] = ownLayers(cache).reduce<readonly [ReadonlyMap<number, LayerSlots>, Draft]>(([known, before], { index, own }) => {
    const [atEnd, next] = layerOps(plan, cache, index, own, observed)(before);
    return [new Map([...known, [index, atEnd]]), next];
  }, [new Map(), emptyDraft]);
  return finish(`compress ${plan.text}`)(jointOps(plan, END, cache, (layer) => slots.get(layer))(draft));
};

const END: SplicePoint = { _tag: "PrefillEnd" };

type WithSlots = readonly [LayerSlots, Draft];

/** Attending is most of the work: it is left out where no score looks at attention. */
const layerOps = (plan: PolicyPlan, cache: KvCache, index: number, own: OwnLayer, observed: number) => (draft: Draft): WithSlots => {
  const blind = spliceWith(plan, cache, index, own, 0)(draft);
  const looks = blind[1].body.slice(draft.body.length).some(observes) || plan.jointAt(END).includes(index);
  return looks && observed > 0 ? spliceWith(plan, cache, index, own, observed)(draft) : blind;
};

const spliceWith = (plan: PolicyPlan, cache: KvCache, index: number, own: OwnLayer, observed: number) => (draft: Draft): WithSlots => {
  const base = layerSlots(index, own)(draft);
  const [slots, ready] = observe(plan, cache, index, own, observed, base[0])(base[1]);
  const [recent, windowed] = ringSlots(own, plan.layers[index]?.recentQueries ?? 0, observed, slots)(ready);
  const after = plan.splice({ _tag: "AfterChunk", m: observed }, index, { ...slots, recent })(windowed);
  const outside = { ...slots, queries: NONE, lse: NONE, queryPosition: NONE, hidden: NONE, tokenClass: NONE, recent };
  const end = plan.splice(END, index, outside)(after);
  const idle = end.body.length === windowed.body.length && !plan.jointAt(END).includes(index);
  return [outside, idle ? draft : end];
};

/** Attends once, for the log-sum-exps that attention scores need. */
const observe =
  (plan: PolicyPlan, cache: KvCache, index: number, own: OwnLayer, m: number, slots: LayerSlots) =>
  (draft: Draft): readonly [LayerSlots, Draft] => {
    if (m === 0) return [slots, draft];
    const { shape } = own;
    const [[queries = NONE, queryPosition = NONE], d1] = slotsFor([`L${index}.observed.queries`, "observed.position"])(draft);
    const [out, d2] = temp("attended", m * shape.queryHeads * shape.valueDim * 4)(d1);
    const [lse, d3] = temp("lse", m * shape.queryHeads * 4)(d2);
    const [tokenClass, d4] = plan.ports.has("tokenClass") ? bound(className(shape.kvHeads))(d3) : [NONE, d3];
    const seen = attendLayer(cache, index, { queries, position: queryPosition, out, lse, m })(d4);
    return [{ ...slots, queries, lse, queryPosition, tokenClass }, seen];
  };

/** The ring as it would be after these queries: the last `window` of them; the cache's own ring where none were observed. */
const ringSlots =
  (own: OwnLayer, window: number, observed: number, slots: LayerSlots) => (draft: Draft): readonly [LayerSlots["recent"], Draft] => {
    if (observed === 0 && own.recent?.window === window) return [slots.recent, draft];
    if (window === 0 || observed < window) return [{ queries: NONE, lse: NONE, position: NONE }, draft];
    const { queryHeads, keyDim } = own.shape;
    const cut = (from: Slot, width: number) => (d: Draft): readonly [Slot, Draft] => {
      const [out, next] = temp("ring", window * width * 4)(d);
      return [out, emit({ op: "slice", args: [from, out], params: { from: observed - window, rows: window, width } })(next)];
    };
    const [queries, d1] = cut(slots.queries, queryHeads * keyDim)(draft);
    const [lse, d2] = cut(slots.lse, queryHeads)(d1);
    const [position, d3] = cut(slots.queryPosition, 1)(d2);
    return [{ queries, lse, position }, d3];
  };
