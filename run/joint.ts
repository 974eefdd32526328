/**
 * What a program of layers that decide together needs beside a cache: where each layer's rows lie when all lie side by side.
 * @module
 */
import type { KvCache, Segment } from "../cache/types.ts";
import { layoutBytes, ownLayers, slotsOf } from "../cache/view.ts";
import type { Draft, LayerSlots, PolicyPlan, SplicePoint } from "../plan/types.ts";
import { encodeLayouts } from "./copy.ts";
import { tailOf } from "./resize.ts";
import type { Scratch } from "./scratch.ts";
import { layerSlots } from "./slots.ts";

/** The layouts that `plan/joint.ts` names, of a cache whose lengths are known; none where no layers decide together. */
export function jointScratch(plan: PolicyPlan, point: SplicePoint, cache: KvCache): ReadonlyArray<Scratch> {
  const joint = plan.jointAt(point);
  const shifted: { readonly layer: number; readonly segments: ReadonlyArray<Segment> }[] = [];
  let from = 0;
  for (const { index, own } of ownLayers(cache)) {
    const segments = tailOf(own)?.segments ?? [];
    if (!joint.includes(index)) continue;
    const base = from;
    shifted.push({ layer: index, segments: segments.map((s) => ({ ...s, start: base + s.start })) });
    from += slotsOf(segments);
  }
  if (shifted.length === 0) return [];
  const layout = (label: string, segments: ReadonlyArray<Segment>): Scratch => ({
    label,
    content: encodeLayouts([segments], layoutBytes(segments.length)),
  });
  return [
    layout("joint.layout", shifted.flatMap(({ segments }) => segments)),
    ...shifted.map(({ layer, segments }) => layout(`L${layer}.joint`, segments)),
  ];
}

/** Appends what the layers that decide together do at this point. `slotsIn`: a layer's slots where they are more than its own memory. */
export const jointOps = (
  plan: PolicyPlan,
  point: SplicePoint,
  cache: KvCache,
  slotsIn: (layer: number) => LayerSlots | undefined = () => undefined,
): (draft: Draft) => Draft =>
(draft) => {
  const joint = plan.jointAt(point);
  if (joint.length === 0) return draft;
  const [layers, ready] = ownLayers(cache).filter(({ index }) => joint.includes(index)).reduce<
    readonly [ReadonlyArray<{ readonly layer: number; readonly slots: LayerSlots }>, Draft]
  >(([before, d], { index: layer, own }) => {
    const known = slotsIn(layer);
    const [slots, next] = known === undefined ? layerSlots(layer, own)(d) : [known, d];
    return [[...before, { layer, slots }], next];
  }, [[], draft]);
  return plan.spliceJoint(point, layers)(ready);
};
