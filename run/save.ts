/**
 * A cache's memory as bytes of a file, and back: every tier as it is stored, coded ones included, bit for bit.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { codecOf, rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { Buffer, KvCache, LayerCache, Tier } from "../cache/types.ts";
import { ownLayers, pageBytes, recentBuffers, tierBuffers } from "../cache/view.ts";
import { type CacheTable, checkTable, type LayerTable, ringParts, tableOf, tiersIn, type TierTable, type TierView } from "./cache_table.ts";
import { admitNew, type CacheParts, type Memory } from "./memory.ts";
import { checkSettled } from "./bind.ts";
import { allocLayouts, allocRecent, allocTier, freeAll, segmentsOf } from "./storage.ts";

/** A cache outside of a backend. */
export interface SavedCache {
  /** What it is made of. */
  readonly table: CacheTable;
  /** Its memory without slack, in the order of `tiersIn`. */
  readonly parts: ReadonlyArray<Uint8Array>;
}

/** Copies a settled cache out of its backend; the cache stays as it is. Memory that forks share is copied for each. */
export const takeOut = (memory: Memory): (cache: KvCache) => TaskEither<KvError, SavedCache> => (cache) => async () => {
  const settled = checkSettled(memory, cache);
  if (E.isLeft(settled)) return settled;
  const parts: Uint8Array[] = [];
  for (const { own } of ownLayers(cache)) {
    for (const tier of own.tiers) {
      for (const { buffer, width } of widthsOf(tier, own.shape)) {
        const bytes = await memory.backend.read(buffer, 0, buffer.bytes)();
        if (E.isLeft(bytes)) return bytes;
        parts.push(joined(tier.segments.map(({ start, length }) => bytes.right.subarray(start * width, (start + length) * width))));
      }
    }
    const sizes = ringParts(own.recent?.window ?? 0, own.shape);
    for (const [i, buffer] of recentBuffers(own.recent).entries()) {
      const bytes = await memory.backend.read(buffer, 0, sizes[i] ?? 0)();
      if (E.isLeft(bytes)) return bytes;
      parts.push(bytes.right);
    }
  }
  return E.right({ table: tableOf(cache), parts });
};

/** Every buffer of a tier with the bytes of one slot in it, in the order of `tierParts`. */
function widthsOf(tier: Tier, shape: LayerShape): ReadonlyArray<{ readonly buffer: Buffer; readonly width: number }> {
  const { keyCodec, valueCodec, storage: { keys, values, position, columns, pages } } = tier;
  return [
    { buffer: position, width: 4 },
    { buffer: keys, width: rowBytes(keyCodec, shape.keyDim) },
    { buffer: values, width: rowBytes(valueCodec, shape.valueDim) },
    ...Object.values(columns).map((buffer) => ({ buffer, width: 4 })),
    ...pages === null ? [] : [{ buffer: pages.bounds, width: pageBytes(keyCodec, shape.keyDim, pages.rows) }],
  ];
}

function joined(pieces: ReadonlyArray<Uint8Array>): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (out.set(piece, at), at + piece.length), 0);
  return out;
}

/** Puts a saved cache into a backend, with memory as tight as its rows. The table and the size of every part are checked against the model
 * before anything is allocated, and positions against their order; on Left nothing stays allocated. `file` is what errors call it. */
export const putIn =
  (memory: Memory, shape: Pick<ModelShape, "layers">, file: string): (saved: SavedCache) => E.Either<KvError, KvCache> => (saved) => {
    const sound = checkSaved(file, saved, shape);
    if (E.isLeft(sound)) return sound;
    const made: Buffer[] = [];
    const built = build(memory, shape, saved, made);
    if (E.isRight(built)) return E.right(admitNew(memory, built.right));
    freeAll(memory, made)();
    return built;
  };

/** Right if a backend could hold this cache of a model of this shape. */
export function checkSaved(file: string, { table, parts }: SavedCache, shape: Pick<ModelShape, "layers">): E.Either<KvError, void> {
  const fits = checkTable(file, table, shape);
  if (E.isLeft(fits)) return fits;
  const { tiers, sizes } = tiersIn(table, shape, parts);
  const wrong = (at: string, found: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed });
  if (sizes.length !== parts.length) return wrong("the parts of the cache", String(parts.length), String(sizes.length));
  const odd = sizes.findIndex((size, i) => parts[i]?.length !== size);
  if (odd >= 0) return wrong(`part ${odd} of the cache`, `${parts[odd]?.length} bytes`, `the ${sizes[odd]} of its rows`);
  const bad = tiers.find((tier) => !areAscending(tier, table.nextPosition));
  return bad === undefined
    ? E.right(undefined)
    : wrong(`positions in layer ${bad.layer}`, "out of order", `ascending in each head, below ${table.nextPosition}`);
}

function areAscending({ parts: [bytes], table: { lengths } }: TierView, below: number): boolean {
  const positions = new Uint32Array(Uint8Array.from(bytes ?? []).buffer);
  let at = 0;
  return lengths.every((length) => {
    const own = positions.subarray(at, at += length);
    return own.every((p, i) => p < below && (i === 0 || p > (own[i - 1] ?? 0)));
  });
}

function build(
  memory: Memory,
  { layers: shapes }: Pick<ModelShape, "layers">,
  { table, parts }: SavedCache,
  made: Buffer[],
): E.Either<KvError, CacheParts> {
  const owners = table.layers.flatMap((layer, l) => layer._tag === "Own" ? layer.tiers.map(() => shapes[l]?.kvHeads ?? 0) : []);
  const layouts = allocLayouts(memory, owners)();
  if (E.isLeft(layouts)) return layouts;
  made.push(layouts.right.layout);
  const rest = { parts: [...parts], offsets: [...layouts.right.offsets] };
  const layers: LayerCache[] = [];
  for (const [l, shape] of shapes.entries()) {
    const layer = table.layers[l];
    const built = layer === undefined || layer._tag === "Alias"
      ? E.right<KvError, LayerCache>({ _tag: "Alias", shape, layer: layer?.layer ?? l })
      : buildLayer(memory, shape, layer, rest, made, `L${l}`);
    if (E.isLeft(built)) return built;
    layers.push(built.right);
  }
  return E.right({ layers, nextPosition: table.nextPosition, layout: layouts.right.layout });
}

/** What the layers that are still to come are made of. */
interface Rest {
  readonly parts: Uint8Array[];
  readonly offsets: number[];
}

function buildLayer(
  memory: Memory,
  shape: LayerShape,
  { tiers: tables, recent: window }: Extract<LayerTable, { readonly _tag: "Own" }>,
  rest: Rest,
  made: Buffer[],
  label: string,
): E.Either<KvError, LayerCache> {
  const tiers: Tier[] = [];
  for (const table of tables) {
    const tier = allocTier(memory, formOf(shape, table), segmentsOf(table.lengths, table.lengths), rest.offsets.shift() ?? 0, label)();
    if (E.isLeft(tier)) return tier;
    made.push(...tierBuffers(tier.right));
    const wrote = writeAll(memory, widthsOf(tier.right, shape).map(({ buffer }) => buffer), rest.parts);
    if (E.isLeft(wrote)) return wrote;
    tiers.push({ ...tier.right, frozen: table.frozen });
  }
  const recent = allocRecent(memory, shape, window, label)();
  if (E.isLeft(recent)) return recent;
  made.push(...recentBuffers(recent.right));
  const wrote = writeAll(memory, recentBuffers(recent.right), rest.parts);
  return E.isLeft(wrote) ? wrote : E.right({ _tag: "Own", shape, tiers, recent: recent.right });
}

const formOf = (shape: LayerShape, { keys, values, columns, pages, labels }: TierTable) => ({
  shape,
  keyCodec: codecOf(keys),
  valueCodec: codecOf(values),
  columns,
  pages: pages <= 1 ? null : { rows: pages, labels },
});

/** The next parts go to these buffers. */
function writeAll(memory: Memory, buffers: ReadonlyArray<Buffer>, parts: Uint8Array[]): E.Either<KvError, void> {
  for (const buffer of buffers) {
    const bytes = parts.shift() ?? new Uint8Array();
    if (bytes.length === 0) continue;
    const wrote = memory.backend.write(buffer, 0, bytes)();
    if (E.isLeft(wrote)) return wrote;
  }
  return E.right(undefined);
}
