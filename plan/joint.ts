/**
 * Evictions across layers: at the end of the prompt the heads of several layers compete for one total. Their scores and positions are laid
 * side by side, as if all were heads of one layer, and ranked once; then every layer closes up over the rows it keeps.
 *
 * Bound beyond the cache's memory: `joint.layout`, the segments of all these layers in that order; `L{l}.joint`, those of layer `l` alone.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Slot } from "../backends/program.ts";
import type { PlannedBlock, PlannedVerb } from "./blocks.ts";
import { bound, emit, temp } from "./draft.ts";
import { type Lowering, lowerScore, startLowering } from "./lower.ts";
import { limitRows, unsupported } from "./resolve.ts";
import type { Site } from "./site.ts";
import { closeOver, spliceVerb } from "./splice.ts";
import type { Draft } from "./types.ts";

type Evict = Extract<PlannedVerb, { readonly _tag: "Evict" }>;
type Blocks = ReadonlyArray<PlannedBlock>;

const isJoint = (verb: PlannedVerb): verb is Evict => verb._tag === "Evict" && verb.across === "model";

/** What a layer does at the end of the prompt, in order. */
const atEnd = (blocks: Blocks): ReadonlyArray<PlannedVerb> =>
  blocks.filter(({ moment }) => moment._tag === "PrefillEnd").flatMap(({ verbs }) => verbs);

/** Layers whose heads compete with those of other layers. */
export const jointLayers = (blocks: ReadonlyArray<Blocks>): ReadonlyArray<number> =>
  blocks.flatMap((own, l) => atEnd(own).some(isJoint) ? [l] : []);

/** Left unless the layers that compete have one budget, and no row of theirs can have left before. */
export function checkJoint(blocks: ReadonlyArray<Blocks>): E.Either<KvError, void> {
  const joint = jointLayers(blocks);
  const terms = new Set(
    joint.flatMap((l) =>
      atEnd(blocks[l] ?? []).filter(isJoint).map(({ limit, floor, protect }) => JSON.stringify([limit, floor, protect]))
    ),
  );
  if (terms.size > 1) return unsupported("Evict across the model", "budgets", "all layers must have one budget and protect the same rows");
  const early = joint.find((l) => {
    const own = blocks[l] ?? [];
    const before = own.flatMap(({ moment, verbs }) => moment._tag === "Append" || moment._tag === "Chunk" ? verbs : []);
    const end = atEnd(own);
    return [...before, ...end.slice(0, end.findLastIndex(isJoint))].some(({ _tag }) => _tag === "Evict" || _tag === "Encode");
  });
  return early === undefined
    ? E.right(undefined)
    : unsupported("Evict across the model", `layer ${early}`, "rows of that layer leave before; it must be the first eviction");
}

/** One of the layers that compete: its score, and what follows once the rows are chosen. */
interface Entrant {
  readonly site: Site;
  readonly cut: Evict;
  readonly score: Slot;
  readonly named: Lowering["named"];
  readonly rest: ReadonlyArray<PlannedVerb>;
  /** Where its slots and its heads begin among those of all. */
  readonly slot: number;
  readonly head: number;
}

/** Everything these layers do at the end of the prompt. */
export const spliceJoint =
  (layers: ReadonlyArray<{ readonly site: Site; readonly blocks: Blocks }>): (draft: Draft) => Draft => (draft) => {
    const [entrants, scored] = layers.reduce<readonly [ReadonlyArray<Entrant>, Draft]>(([all, d], { site, blocks }) => {
      const [entrant, next] = enter(site, atEnd(blocks), all.at(-1))(d);
      return [entrant === null ? all : [...all, entrant], next];
    }, [[], draft]);
    const last = entrants.at(-1);
    if (last === undefined) return draft;
    const slots = last.slot + last.site.slots.capacity;
    const [score, d1] = sideBySide("joint scores", slots, entrants, ({ score }) => score)(scored);
    const [position, d2] = sideBySide("joint positions", slots, entrants, ({ site }) => site.slots.position)(d1);
    const [layout, d3] = bound("joint.layout")(d2);
    const [keep, d4] = temp("joint keep", slots * 4)(d3);
    const heads = last.head + last.site.shape.kvHeads;
    const [counts, d5] = temp("joint counts", heads * 4)(d4);
    const { limit, floor, protect } = last.cut;
    const count = limit._tag === "Rows" ? limit.rows : 0;
    const args = [score, position, layout, last.site.slots.newest, keep, counts];
    const ranked = emit({ op: "rank", args, params: { heads, mode: "pooled", count, floor, ...protect } })(d5);
    return entrants.reduce((d: Draft, entrant) => leave(entrant, keep, counts)(d), ranked);
  };

/** What comes before the cut, and the score of it; null where the layer has no cut. */
const enter =
  (site: Site, verbs: ReadonlyArray<PlannedVerb>, before: Entrant | undefined) => (draft: Draft): readonly [Entrant | null, Draft] => {
    const at = verbs.findIndex(isJoint);
    const cut = verbs[at];
    if (cut === undefined || !isJoint(cut)) return [null, draft];
    const first = verbs.slice(0, at).reduce<Lowering>((state, verb) => spliceVerb(site, verb)(state), startLowering(draft));
    const budget = limitRows(cut.limit);
    const [score, { draft: next, named }] = lowerScore({ ...site, budget }, cut.score)(first);
    const slot = before === undefined ? 0 : before.slot + before.site.slots.capacity;
    const head = before === undefined ? 0 : before.head + before.site.shape.kvHeads;
    return [{ site, cut, score, named, rest: verbs.slice(at + 1), slot, head }, next];
  };

/** One column of 4 bytes a row for all layers. */
const sideBySide =
  (label: string, slots: number, entrants: ReadonlyArray<Entrant>, of: (entrant: Entrant) => Slot) =>
  (draft: Draft): readonly [Slot, Draft] => {
    const [all, made] = temp(label, slots * 4)(draft);
    return [
      all,
      entrants.reduce((d: Draft, entrant) => {
        const { layer, slots: { layout }, shape: { kvHeads: heads } } = entrant.site;
        const [joint, next] = bound(`L${layer}.joint`)(d);
        return emit({ op: "copyRows", args: [of(entrant), layout, joint, all], params: { heads, rowBytes: 4 } })(next);
      }, made),
    ];
  };

/** The layer's share of what was chosen; it closes up, and goes on. */
const leave = ({ site, cut, named, rest, head }: Entrant, all: Slot, allCounts: Slot) => (draft: Draft): Draft => {
  const { slots, shape: { kvHeads: heads }, layer } = site;
  const [joint, d1] = bound(`L${layer}.joint`)(draft);
  const [keep, d2] = temp("keep", slots.capacity * 4)(d1);
  const [counts, d3] = temp("counts", heads * 4)(d2);
  const kept = emit({ op: "copyRows", args: [all, joint, slots.layout, keep], params: { heads, rowBytes: 4 } })(d3);
  const counted = emit({ op: "slice", args: [allCounts, counts], params: { from: head, rows: heads, width: 1 } })(kept);
  const closed = closeOver(site, cut, named, keep, counts)(counted);
  return rest.reduce<Lowering>((state, verb) => spliceVerb(site, verb)(state), { draft: closed, memo: new Map(), named }).draft;
};
