/**
 * Rebuilding a private cache value so that it is stored as a plan says: shared layers, codecs, columns. Each step consumes
 * its input, also on Left.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer, KvCache, LayerCache, Tier } from "../cache/types.ts";
import { type OwnLayer, ownLayers, pageBytes, slotsOf, storeTier, tierBuffers } from "../cache/view.ts";
import type { LayerPlan, PolicyPlan } from "../plan/types.ts";
import { type DenseRows, writeRows } from "./dense.ts";
import { type Memory, retire } from "./memory.ts";
import { type HeadRows, read } from "./read.ts";
import { replaceBy, tailOf } from "./resize.ts";
import { bytesIn } from "./scratch.ts";
import { allocAll, allocLayouts, allocTier, emptyStore, formOf, freeAll, segmentsOf, storeForm } from "./storage.ts";

/** Stores `cache`, whose layers have one tier each, as the plan says. */
export const conform = (memory: Memory, plan: PolicyPlan): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) =>
  pipe(
    TE.fromEither(aliasLayers(memory, plan, cache)),
    TE.chain(recodeLayers(memory, plan)),
    TE.chainEitherK((stored) => addColumns(memory, plan, stored)),
    TE.chainEitherK((stored) => addStores(memory, plan, stored)),
    TE.chainEitherK(addPages(memory, plan)),
  );

/** Layers that are to read another's rows drop their own. */
function aliasLayers(memory: Memory, plan: PolicyPlan, cache: KvCache): E.Either<KvError, KvCache> {
  const from = (l: number): number => plan.layers[l]?.readsFrom ?? l;
  if (cache.layers.every((layer, l) => layer._tag === "Alias" || from(l) === l)) return E.right(cache);
  const layers = cache.layers.map((layer, l): LayerCache => from(l) === l ? layer : { _tag: "Alias", shape: layer.shape, layer: from(l) });
  return replaceBy(memory, cache, { ...cache, layers });
}

/** Rows change codec through the host: exact from f16 to f32, rounded to nearest even the other way. */
const recodeLayers = (memory: Memory, plan: PolicyPlan) => (cache: KvCache): TE.TaskEither<KvError, KvCache> => async () => {
  const differs = (layer: LayerCache, l: number): boolean => {
    const tail = layer._tag === "Own" ? tailOf(layer) : null;
    const to = plan.layers[l];
    return tail !== null && to !== undefined &&
      (codecName(tail.keyCodec) !== codecName(to.keyCodec) || codecName(tail.valueCodec) !== codecName(to.valueCodec));
  };
  if (!cache.layers.some(differs)) return E.right(cache);
  const made: Buffer[] = [];
  const layers = await recoded(memory, plan, cache, differs, made);
  if (E.isRight(layers)) return replaceBy(memory, cache, { ...cache, layers: layers.right });
  freeAll(memory, made)();
  retire(memory, cache)();
  return layers;
};

async function recoded(
  memory: Memory,
  plan: PolicyPlan,
  cache: KvCache,
  differs: (layer: LayerCache, l: number) => boolean,
  made: Buffer[],
): Promise<E.Either<KvError, ReadonlyArray<LayerCache>>> {
  const rows = await read(memory)(cache)();
  if (E.isLeft(rows)) return rows;
  const layers: LayerCache[] = [];
  for (const [l, layer] of cache.layers.entries()) {
    const [to, tail] = [plan.layers[l], layer._tag === "Own" ? tailOf(layer) : null];
    if (layer._tag === "Alias" || to === undefined || tail === null || !differs(layer, l)) {
      layers.push(layer);
      continue;
    }
    const tier = recodeTier(memory, layer, tail, to, rows.right.layers[l] ?? [], `L${l}`);
    if (E.isLeft(tier)) return tier;
    made.push(...tierBuffers(tier.right));
    layers.push({ ...layer, tiers: [tier.right] });
  }
  return E.right(layers);
}

function recodeTier(
  memory: Memory,
  layer: OwnLayer,
  tail: Tier,
  to: LayerPlan,
  heads: ReadonlyArray<HeadRows>,
  label: string,
): E.Either<KvError, Tier> {
  const form = { ...formOf(layer.shape, tail), keyCodec: to.keyCodec, valueCodec: to.valueCodec };
  const made = allocTier(memory, form, segmentsOf(heads.map((h) => h.positions.length)), tail.layoutOffset, label)();
  if (E.isLeft(made)) return made;
  const wrote = heads.map((rows, head) => writeHead(memory, layer, made.right, head, rows)).find(E.isLeft);
  if (wrote !== undefined) {
    freeAll(memory, tierBuffers(made.right))();
    return wrote;
  }
  return E.right({ ...made.right, segments: made.right.segments.map((s) => ({ ...s, length: s.capacity })) });
}

/** One head's rows and columns, through a tier that shows only that head. */
function writeHead(memory: Memory, layer: OwnLayer, tier: Tier, head: number, rows: HeadRows): E.Either<KvError, void> {
  const one: Tier = { ...tier, segments: tier.segments.slice(head, head + 1), storage: { ...tier.storage, columns: {} } };
  const dense: DenseRows = rows;
  const wrote = writeRows(memory, layer.shape, one, dense, rows.positions, {});
  if (E.isLeft(wrote)) return wrote;
  for (const [name, column] of Object.entries(rows.columns)) {
    const buffer = tier.storage.columns[name];
    if (buffer === undefined || column.length === 0) continue;
    const filled = memory.backend.write(buffer, (tier.segments[head]?.start ?? 0) * 4, bytesIn(column))();
    if (E.isLeft(filled)) return filled;
  }
  return E.right(undefined);
}

/** Columns the plan remembers and the cache lacks, holding their initial value. */
function addColumns(memory: Memory, plan: PolicyPlan, cache: KvCache): E.Either<KvError, KvCache> {
  const made: Buffer[] = [];
  const layers: LayerCache[] = [];
  for (const [l, layer] of cache.layers.entries()) {
    const tail = layer._tag === "Own" ? tailOf(layer) : null;
    const missing = tail === null ? [] : (plan.layers[l]?.columns ?? []).filter((c) => tail.storage.columns[c.name] === undefined);
    if (layer._tag === "Alias" || tail === null || missing.length === 0) {
      layers.push(layer);
      continue;
    }
    const slots = slotsOf(tail.segments);
    const got = allocAll(memory, missing.map((c) => ({ bytes: slots * 4, label: `L${l}.column.${c.name}` })))();
    const filled = E.isLeft(got) ? got : missing.map((c, i) => fillColumn(memory, got.right[i], slots, c.initial)).find(E.isLeft) ?? got;
    if (E.isRight(got)) made.push(...got.right);
    if (E.isLeft(filled)) {
      freeAll(memory, made)();
      retire(memory, cache)();
      return filled;
    }
    const added = Object.fromEntries(missing.flatMap((c, i) => filled.right[i] === undefined ? [] : [[c.name, filled.right[i]]]));
    const storage = { ...tail.storage, columns: { ...tail.storage.columns, ...added } };
    layers.push({ ...layer, tiers: [...layer.tiers.slice(0, -1), { ...tail, storage }] });
  }
  return made.length === 0 ? E.right(cache) : replaceBy(memory, cache, { ...cache, layers });
}

/** An empty store before each tail whose rows are to pass on. */
function addStores(memory: Memory, plan: PolicyPlan, cache: KvCache): E.Either<KvError, KvCache> {
  const missing = (own: OwnLayer, l: number): ReturnType<typeof storeForm> => {
    const planned = plan.layers[l];
    return storeTier(own) === null && planned !== undefined ? storeForm(planned) : null;
  };
  if (ownLayers(cache).every(({ own, index }) => missing(own, index) === null)) return E.right(cache);
  const heads = ownLayers(cache).flatMap(({ own, index }) =>
    [...(missing(own, index) === null ? [] : [null]), ...own.tiers].map(() => own.shape.kvHeads)
  );
  const layouts = allocLayouts(memory, heads)();
  const made: Buffer[] = E.isLeft(layouts) ? [] : [layouts.right.layout];
  let at = 0;
  const layers: LayerCache[] = [];
  for (const [l, layer] of cache.layers.entries()) {
    if (layer._tag === "Alias" || E.isLeft(layouts)) {
      layers.push(layer);
      continue;
    }
    const offset = (): number => layouts.right.offsets[at++] ?? 0;
    const wanted = missing(layer, l);
    const store = wanted === null ? null : emptyStore(memory, layer.shape, wanted, offset(), `L${l}.store`)();
    if (store !== null && E.isLeft(store)) {
      freeAll(memory, made)();
      retire(memory, cache)();
      return store;
    }
    if (store !== null) made.push(...tierBuffers(store.right));
    const tiers = layer.tiers.map((tier) => ({ ...tier, layoutOffset: offset() }));
    layers.push({ ...layer, tiers: store === null ? tiers : [...tiers.slice(0, -1), store.right, ...tiers.slice(-1)] });
  }
  if (E.isRight(layouts)) return replaceBy(memory, cache, { ...cache, layers, layout: layouts.right.layout });
  retire(memory, cache)();
  return layouts;
}

const fillColumn = (memory: Memory, buffer: Buffer | undefined, slots: number, initial: number): E.Either<KvError, void> =>
  buffer === undefined || slots === 0
    ? E.right(undefined)
    : memory.backend.write(buffer, 0, bytesIn(new Float32Array(slots).fill(initial)))();

/** Room for the bounds of pages that the plan reads and the cache lacks, or has of other pages. What they are is found at the end of
 * prefill. The input is consumed, also on Left. */
export const addPages = (memory: Memory, plan: PolicyPlan): (cache: KvCache) => E.Either<KvError, KvCache> => (cache) => {
  const made: Buffer[] = [];
  const layers: LayerCache[] = [];
  for (const [l, layer] of cache.layers.entries()) {
    const [tail, pages] = [layer._tag === "Own" ? tailOf(layer) : null, plan.layers[l]?.pages ?? null];
    const held = tail?.storage.pages ?? null;
    if (layer._tag === "Alias" || tail === null || pages === null || (held?.rows === pages.rows && held.labels === pages.labels)) {
      layers.push(layer);
      continue;
    }
    const bytes = slotsOf(tail.segments) * pageBytes(tail.keyCodec, layer.shape.keyDim, pages.rows);
    const got = allocAll(memory, [{ bytes, label: `L${l}.bounds` }])();
    if (E.isLeft(got)) {
      freeAll(memory, made)();
      retire(memory, cache)();
      return got;
    }
    made.push(...got.right);
    const [bounds] = got.right;
    const storage = { ...tail.storage, pages: bounds === undefined ? null : { ...pages, bounds } };
    layers.push({ ...layer, tiers: [...layer.tiers.slice(0, -1), { ...tail, storage }] });
  }
  return made.length === 0 ? E.right(cache) : replaceBy(memory, cache, { ...cache, layers });
};
