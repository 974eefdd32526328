/**
 * `planPolicy`: from a policy, a model shape and a backend's abilities to a {@link PolicyPlan}. Pure; every error that can
 * be known before anything runs is reported here.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { ops } from "../backends/ops.ts";
import { checkShape } from "../cache/check_shape.ts";
import type { KvError } from "../cache/error.ts";
import { codecName, rowBytes } from "../cache/codec.ts";
import { needs } from "../policy/needs.ts";
import type { Policy } from "../policy/types.ts";
import { validatePolicy } from "../policy/validate.ts";
import { planBlocks, type PlannedBlock } from "./blocks.ts";
import { describePlan, jointOps, type PlanParts, pointsOf, selectedOps, splicedOps } from "./describe.ts";
import { buildStorage, type LayerStorage } from "./layers.ts";
import { codingOf } from "./coding.ts";
import { jointLayers, spliceJoint } from "./joint.ts";
import { storeOf, waitingBound } from "./passing.ts";
import { boundOf, columnsOf, isThinned, ringOf } from "./holds.ts";
import { unsupported } from "./resolve.ts";
import { keepBounds, pagesOf, selectRows } from "./select.ts";
import type { Site } from "./site.ts";
import { actsAt, queriesAt, spliceBlocks } from "./splice.ts";
import { tablesOf } from "./turns.ts";
import type { LayerPlan, LayerSlots, LearnedForm, PolicyPlan, Reconstruction, SplicePoint, Target } from "./types.ts";

/** Plans a policy: budgets and layer ranges become numbers, verbs become ops. Left if the policy can mean nothing for
 * this model and prompt, wants what no part of this version does, or needs an op the backend lacks.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { uniformShape } from "../cache/uniform.ts";
 * const plan = planPolicy({ _tag: "Policy", blocks: [], text: "keepall" }, {
 *   shape: uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 4 }),
 *   backend: { name: "any", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
 *   promptTokens: 100,
 *   chunk: 32,
 *   codec: { _tag: "Plain", dtype: "f16" },
 * });
 * assertEquals(E.isRight(plan) && plan.right.layers[0]?.rowsBound, null);
 * ```
 */
export function planPolicy(policy: Policy, target: Target): E.Either<KvError, PolicyPlan> {
  const fits = checkTarget(target);
  if (E.isLeft(fits)) return fits;
  const sound = validatePolicy(policy);
  if (E.isLeft(sound)) return sound;
  const storage = buildStorage(policy, target);
  if (E.isLeft(storage)) return storage;
  const turned = checkRerotate(policy, storage.right);
  if (E.isLeft(turned)) return turned;
  const blocks = planBlocks(policy, target, (l) => storage.right[l]?.readsFrom === l);
  if (E.isLeft(blocks)) return blocks;
  const layers = planLayers(storage.right, blocks.right, target);
  if (E.isLeft(layers)) return layers;
  const coding = codingOf(policy, target);
  if (E.isLeft(coding)) return coding;
  const plan = assemble(policy, target, layers.right, blocks.right, coding.right);
  const lacking = checkOps(plan, target);
  return E.isLeft(lacking) ? lacking : E.right(plan);
}

function checkTarget({ promptTokens, chunk, shape }: Target): E.Either<KvError, void> {
  const whole = (n: number, from: number): boolean => Number.isSafeInteger(n) && n >= from;
  const wrong = (argument: string, value: number, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument, value: String(value), allowed });
  if (!whole(promptTokens, 1)) return wrong("promptTokens", promptTokens, "a whole number of tokens from 1");
  if (!whole(chunk, 1)) return wrong("chunk", chunk, "a whole number of tokens from 1");
  return checkShape(shape);
}

function planLayers(
  storage: ReadonlyArray<LayerStorage>,
  blocks: ReadonlyArray<ReadonlyArray<PlannedBlock>>,
  target: Target,
): E.Either<KvError, ReadonlyArray<LayerPlan>> {
  const layers: LayerPlan[] = [];
  for (const [l, stored] of storage.entries()) {
    const own = blocks[l] ?? [];
    const shape = target.shape.layers[l];
    const columns = columnsOf(own, l);
    if (E.isLeft(columns)) return columns;
    const store = shape === undefined ? E.right(null) : storeOf(own, shape, l);
    if (E.isLeft(store)) return store;
    const rowsBound = boundOf(own, shape?.kvHeads ?? 1) ?? waitingBound(own, store.right);
    const pages = pagesOf(own, l, stored);
    if (E.isLeft(pages)) return pages;
    if (pages.right !== null && store.right !== null) {
      return unsupported("Select beside Encode", `layer ${l}`, "older rows of that layer are stored as codes, which have no pages");
    }
    const layer: LayerPlan = {
      ...stored,
      store: store.right,
      columns: columns.right,
      recentQueries: ringOf(own),
      ringLasts: ringOf(own.filter(({ moment }) => moment._tag !== "PrefillEnd")) > 0,
      rowsBound,
      pages: pages.right,
      thinned: isThinned(own),
    };
    const rows = (shape?.kvHeads ?? 0) * Math.min(target.promptTokens, rowsBound === null ? Infinity : rowsBound + target.chunk);
    const needed = rows * Math.max(rowBytes(stored.keyCodec, shape?.keyDim ?? 0), rowBytes(stored.valueCodec, shape?.valueDim ?? 0));
    const available = target.backend.caps.maxBufferBytes;
    if (needed > available && stored.readsFrom === l) {
      return E.left({ _tag: "OverLimit", limit: `largest buffer of ${target.backend.name} (layer ${l}), bytes`, needed, available });
    }
    layers.push(layer);
  }
  return E.right(layers);
}

function assemble(
  policy: Policy,
  target: Target,
  layers: ReadonlyArray<LayerPlan>,
  blocks: ReadonlyArray<ReadonlyArray<PlannedBlock>>,
  coding: PolicyPlan["coding"],
): PolicyPlan {
  const acting = (point: SplicePoint) => blocks.flat().filter((b) => actsAt(b.moment, point)).flatMap((b) => b.verbs);
  const { hidden } = target.shape;
  const periods = new Set(blocks.flat().flatMap((b) => b.moment._tag === "Every" ? [b.moment.steps] : []));
  const siteOf = (point: SplicePoint, layer: number, slots: LayerSlots): Site | null => {
    const [shape, plan] = [target.shape.layers[layer], layers[layer]];
    if (shape === undefined || plan === undefined) return null;
    const { promptTokens } = target;
    return { shape, plan, slots, m: queriesAt(point), promptTokens, budget: 0, layer, hidden, learned: learnedOf(target, layer) };
  };
  const joint = jointLayers(blocks);
  const jointAt = (point: SplicePoint) => point._tag === "PrefillEnd" ? joint : [];
  const plan: PlanParts = {
    text: policy.text,
    source: { policy, promptTokens: target.promptTokens, chunk: target.chunk, codec: target.codec },
    layers,
    coding,
    periods: [...periods].sort((a, b) => a - b),
    evictsAt: (point) => acting(point).some((v) => v._tag === "Evict" || v._tag === "Encode"),
    passesAt: (point, layer) => (blocks[layer] ?? []).some((b) => actsAt(b.moment, point) && b.verbs.some((v) => v._tag === "Encode")),
    judgesAt: (point) =>
      acting(point).some((v) => v._tag === "Evict" || v._tag === "Remember" || (v._tag === "Encode" && v.below !== null)),
    selectsAt: (point, layer) => (blocks[layer] ?? []).some((b) => actsAt(b.moment, point) && b.verbs.some((v) => v._tag === "Select")),
    tables: tablesOf(blocks, target),
    rerotates: policy.blocks.some((b) => b.verbs.some((v) => v._tag === "Rerotate")),
    rewritesAt: (point) => acting(point).some((v) => v._tag !== "Score") || layers.some(({ pages }) => pages !== null),
    ports: needs(policy),
    select: (point, layer, slots) => (draft) => {
      const [site, own] = [siteOf(point, layer, slots), blocks[layer]];
      return site === null || own === undefined ? [null, draft] : selectRows(site, point, own)(draft);
    },
    splice: (point, layer, slots) => (draft) => {
      const [site, own] = [siteOf(point, layer, slots), blocks[layer]];
      if (jointAt(point).includes(layer)) return draft;
      return site === null || own === undefined ? draft : keepBounds(site, point, own)(spliceBlocks(site, point, own)(draft));
    },
    reconstructions: reconstructionsOf(blocks),
    jointAt,
    spliceJoint: (point, all) => {
      const sites = all.flatMap(({ layer, slots }) => {
        const [site, own] = [siteOf(point, layer, slots), blocks[layer]];
        return site === null || own === undefined || !jointAt(point).includes(layer) ? [] : [{ site, blocks: own }];
      });
      return (draft) => sites.reduce((d, { site, blocks: own }) => keepBounds(site, point, own)(d), spliceJoint(sites)(draft));
    },
  };
  return { ...plan, describe: describePlan(plan, target) };
}

/** Columns by reconstruction, each with the layers that remember it so. */
function reconstructionsOf(blocks: ReadonlyArray<ReadonlyArray<PlannedBlock>>): ReadonlyArray<Reconstruction> {
  const found = new Map<string, Reconstruction>();
  for (const [layer, own] of blocks.entries()) {
    for (const verb of own.flatMap(({ verbs }) => verbs)) {
      if (verb._tag !== "Remember" || verb.score._tag !== "Reconstruction") continue;
      const key = JSON.stringify([verb.name, verb.score]);
      const layers = found.get(key)?.layers ?? [];
      found.set(key, { column: verb.name, score: verb.score, layers: layers.includes(layer) ? layers : [...layers, layer] });
    }
  }
  return [...found.values()];
}

const learnedOf = ({ learned = {} }: Target, layer: number): Readonly<Record<string, LearnedForm>> =>
  Object.fromEntries(Object.entries(learned).flatMap(([name, forms]) => forms[layer] === undefined ? [] : [[name, forms[layer]] as const]));

function checkOps(plan: PolicyPlan, { backend, shape, chunk }: Target): E.Either<KvError, void> {
  const body = pointsOf(plan, chunk).flatMap((point) =>
    shape.layers.flatMap((layer, l) => [...selectedOps(plan, layer, l, point).body, ...splicedOps(plan, layer, l, point).body])
  );
  const all = [...body, ...jointOps(plan, shape).body];
  const reads = pointsOf(plan, chunk).some((point) => shape.layers.some((_, l) => plan.selectsAt(point, l)));
  const lacking = [...all.map(({ op }) => op), ...reads ? ["attendRows" as const] : []].find((op) => !backend.supports(op));
  if (lacking !== undefined) return unsupportedOp(`the op ${lacking}`, `the backend ${backend.name}`, "its op table does not have it");
  const unread = plan.layers.flatMap(({ keyCodec, valueCodec, store }) =>
    [keyCodec, valueCodec, ...store === null ? [] : [store.keyCodec, store.valueCodec]].map(codecName)
  ).find((name) => backend.stores?.(name) === false);
  if (unread !== undefined) return unsupportedOp(`rows stored as ${unread}`, `the backend ${backend.name}`, "its shaders do not read them");
  const coded = all.flatMap((instr) => {
    const params: Readonly<Record<string, number | string | boolean>> = instr.params;
    return ops[instr.op].params.flatMap((spec) =>
      spec.type !== "choice" || spec.choices.includes(String(params[spec.name])) ? [] : [{ op: instr.op, found: params[spec.name] }]
    );
  })[0];
  return coded === undefined
    ? E.right(undefined)
    : unsupportedOp(`the op ${coded.op} over rows stored as ${coded.found}`, "this version", "it reads rows that are stored as f32 or f16");
}

/** Keys turn once: what acts later looks at rows and queries of the new positions only if it did not look before. */
function checkRerotate({ blocks }: Policy, storage: ReadonlyArray<LayerStorage>): E.Either<KvError, void> {
  if (!blocks.some((b) => b.verbs.some((v) => v._tag === "Rerotate"))) return E.right(undefined);
  const later = blocks.find(({ moment }) => moment._tag !== "PrefillEnd" && moment._tag !== "Build" && moment._tag !== "Chunk");
  const passing = blocks.some(({ moment, verbs }) => moment._tag !== "Build" && verbs.some((v) => v._tag === "Encode"));
  if (passing || storage.some(({ keyCodec }) => keyCodec._tag !== "Plain")) {
    return unsupported("Rerotate beside Encode", "blocks", "codes cannot be turned; keep keys as f16 or f32");
  }
  return later === undefined ? E.right(undefined) : unsupported(
    `Rerotate beside ${later.verbs[0]?._tag} at ${later.moment._tag}`,
    "blocks",
    "positions close up once, at the end of the prompt; let nothing act while decoding",
  );
}

const unsupportedOp = (what: string, where: string, because: string): E.Either<KvError, never> =>
  E.left({ _tag: "Unsupported", what, where, because });
