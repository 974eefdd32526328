/**
 * Rows from a host's own model: a cache made of dense arrays, and new rows appended to one.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { IOEither } from "fp-ts/IOEither.js";
import * as TE from "fp-ts/TaskEither.js";
import { checkShape } from "../cache/check_shape.ts";
import { blockRows, codecFault, codecName, rowBytes } from "../cache/codec.ts";
import { encodeRows } from "../cache/encode.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { Buffer, Codec, KvCache, LayerCache, Tier } from "../cache/types.ts";
import { type OwnLayer, ownLayers, tierBuffers } from "../cache/view.ts";
import { checkSettled } from "./bind.ts";
import { admitNew, admitSibling, atFrontier, type Memory, retire, succeed } from "./memory.ts";
import { copyCache, grownCapacities, hasRoom, tailOf } from "./resize.ts";
import { bytesIn } from "./scratch.ts";
import { allocLayouts, allocTier, freeAll, segmentsOf } from "./storage.ts";

/** New rows of one layer. Keys after rotation. */
export interface DenseRows {
  /** f32 [kvHeads, rows, keyDim]. */
  readonly keys: Float32Array;
  /** f32 [kvHeads, rows, valueDim]. */
  readonly values: Float32Array;
}

/** Rows of a whole model. */
export interface Dense {
  /** Geometry of the layers. */
  readonly shape: Pick<ModelShape, "layers">;
  /** One entry per layer; all have the same number of rows. */
  readonly layers: ReadonlyArray<DenseRows>;
  /** True positions, ascending; default 0, 1, 2, … */
  readonly positions?: ReadonlyArray<number>;
}

/** A cache of a host's own rows. Dispose it as any other; the arrays are copied.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { rowsKept, uniformShape } from "../cache/mod.ts";
 * import { dispose, openMemory } from "./mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: Float32Array.of(1, 0, 0, 1), values: Float32Array.of(1, 2, 3, 4) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * assertEquals(rowsKept(cache), 2);
 * await orThrow(dispose(memory)(cache));
 * ```
 */
export const fromDense =
  (memory: Memory, options: { readonly codec?: Codec } = {}): (dense: Dense) => IOEither<KvError, KvCache> => (dense) => () => {
    const { shape: { layers: shapes }, layers } = dense;
    const sound = checkShape(dense.shape);
    if (E.isLeft(sound)) return sound;
    const first = shapes[0];
    if (first === undefined || layers.length !== shapes.length) return shapeError("layers", String(shapes.length), layers.length);
    const rows = (layers[0]?.keys.length ?? 0) / (first.kvHeads * first.keyDim);
    const positions = checkPositions(dense.positions ?? Array.from({ length: rows }, (_, i) => i), rows, 0);
    if (E.isLeft(positions)) return positions;
    const codec = options.codec ?? { _tag: "Plain", dtype: "f16" };
    const wrong = shapes.map((s) => codecFault(codec, s.keyDim) ?? codecFault(codec, s.valueDim)).find((fault) => fault !== null) ??
      (blockRows(codec) > 1 ? "a codec of rows that stand alone" : undefined);
    if (wrong !== undefined) return shapeError("codec", wrong, codecName(codec));
    const fits = shapes.map((shape, l) => checkRows(shape, layers[l], rows, `layer ${l}`)).find(E.isLeft);
    if (fits !== undefined) return fits;
    const made: Buffer[] = [];
    const built = buildLayers(memory, codec, dense, positions.right, made);
    if (E.isRight(built)) return built;
    freeAll(memory, made)();
    return built;
  };

function buildLayers(
  memory: Memory,
  codec: Codec,
  { shape: { layers: shapes }, layers }: Dense,
  positions: Uint32Array,
  made: Buffer[],
): E.Either<KvError, KvCache> {
  const layouts = allocLayouts(memory, shapes.map((s) => s.kvHeads))();
  if (E.isLeft(layouts)) return layouts;
  made.push(layouts.right.layout);
  const owned: LayerCache[] = [];
  for (const [l, shape] of shapes.entries()) {
    const form = { shape, keyCodec: codec, valueCodec: codec, columns: [], pages: null };
    const segments = segmentsOf(Array.from({ length: shape.kvHeads }, () => positions.length));
    const tier = allocTier(memory, form, segments, layouts.right.offsets[l] ?? 0, `L${l}`)();
    if (E.isLeft(tier)) return tier;
    made.push(...tierBuffers(tier.right));
    const rows = layers[l];
    const wrote = rows === undefined ? E.right(tier.right) : writeRows(memory, shape, tier.right, rows, positions, {});
    if (E.isLeft(wrote)) return wrote;
    owned.push({ _tag: "Own", shape, tiers: [wrote.right], recent: null });
  }
  const nextPosition = (positions[positions.length - 1] ?? -1) + 1;
  return E.right(admitNew(memory, { layers: owned, nextPosition, layout: layouts.right.layout }));
}

/** Writes rows after the last of each head and returns the longer tier; there must be room. */
export function writeRows(
  memory: Memory,
  shape: LayerShape,
  tier: Tier,
  { keys, values }: DenseRows,
  positions: Uint32Array,
  columns: Readonly<Record<string, number>>,
): E.Either<KvError, Tier> {
  const m = positions.length;
  const part = (codec: Codec, array: Float32Array, dim: number, head: number): Uint8Array =>
    encodeRows(codec, array.subarray(head * m * dim, (head + 1) * m * dim), dim);
  for (const [head, { start, length }] of tier.segments.entries()) {
    const writes: ReadonlyArray<readonly [Buffer, number, Uint8Array]> = [
      [tier.storage.keys, rowBytes(tier.keyCodec, shape.keyDim), part(tier.keyCodec, keys, shape.keyDim, head)],
      [tier.storage.values, rowBytes(tier.valueCodec, shape.valueDim), part(tier.valueCodec, values, shape.valueDim, head)],
      [tier.storage.position, 4, bytesIn(positions)],
      ...Object.entries(tier.storage.columns).map(([name, buffer]) =>
        [buffer, 4, bytesIn(new Float32Array(m).fill(columns[name] ?? 0))] as const
      ),
    ];
    for (const [buffer, width, bytes] of writes) {
      if (bytes.byteLength === 0) continue;
      const wrote = memory.backend.write(buffer, (start + length) * width, bytes)();
      if (E.isLeft(wrote)) return wrote;
    }
  }
  return E.right({ ...tier, segments: tier.segments.map((s) => ({ ...s, length: s.length + m })) });
}

/** Rows to append to a cache. */
export interface NewRows {
  /** One entry per layer; null for a layer that reads another's rows. */
  readonly layers: ReadonlyArray<DenseRows | null>;
  /** True positions, ascending, none below `cache.nextPosition`; default the next ones. */
  readonly positions?: ReadonlyArray<number>;
  /** Value of remembered columns on the new rows, by name; default 0. */
  readonly columns?: Readonly<Record<string, number>>;
}

/** A cache with these rows after those of `cache`, which stays as it is; dispose both. The newest value of its memory is
 * extended in place (O(1) amortised), any other is copied first.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { append, dispose, fromDense, openMemory, openReference, orThrow, rowsPerHead, uniformShape } from "../mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: Float32Array.of(3, 0, 0, 1, 2, 0), values: new Float32Array(6) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * const row = { keys: Float32Array.of(1, 1), values: Float32Array.of(1, 1) };
 * const longer = await orThrow(append(memory)(cache, { layers: [row] }));
 * assertEquals([rowsPerHead(cache), rowsPerHead(longer)], [[[3]], [[4]]]);
 * for (const value of [cache, longer]) await orThrow(dispose(memory)(value));
 * ```
 */
export const append = (memory: Memory): (cache: KvCache, rows: NewRows) => TE.TaskEither<KvError, KvCache> => (cache, rows) =>
  pipe(
    TE.fromEither(checkAppend(memory, cache, rows)),
    TE.chain((positions) => {
      const tails = ownLayers(cache).flatMap(({ own }) => tailOf(own) ?? []);
      return atFrontier(memory, cache) && tails.every((t) => hasRoom(t, positions.length))
        ? TE.fromIOEither(extend(memory, cache, rows, positions, (parts) => E.right(admitSibling(memory, cache, parts))))
        : extendCopy(memory, cache, rows, positions);
    }),
  );

const extendCopy = (memory: Memory, cache: KvCache, rows: NewRows, positions: Uint32Array): TE.TaskEither<KvError, KvCache> => async () => {
  const copied = await copyCache(memory, { flatten: false, capacities: (_, s) => grownCapacities(s, positions.length, null) })(cache)();
  if (E.isLeft(copied)) return copied;
  const longer = extend(memory, copied.right, rows, positions, (parts) => succeed(memory, parts)(copied.right)())();
  if (E.isLeft(longer)) retire(memory, copied.right)();
  return longer;
};

const extend = (
  memory: Memory,
  cache: KvCache,
  rows: NewRows,
  positions: Uint32Array,
  register: (parts: Pick<KvCache, "layers" | "nextPosition" | "layout">) => E.Either<KvError, KvCache>,
): IOEither<KvError, KvCache> =>
() => {
  const layers: LayerCache[] = [];
  for (const [l, layer] of cache.layers.entries()) {
    const [own, tail] = layer._tag === "Own" ? [layer, tailOf(layer)] : [null, null];
    const given = rows.layers[l] ?? null;
    if (own === null || tail === null || given === null) {
      layers.push(layer);
      continue;
    }
    const longer = writeRows(memory, own.shape, tail, given, positions, rows.columns ?? {});
    if (E.isLeft(longer)) return longer;
    layers.push(withTail(own, longer.right));
  }
  const nextPosition = (positions[positions.length - 1] ?? cache.nextPosition - 1) + 1;
  return register({ layers, nextPosition, layout: cache.layout });
};

const withTail = (own: OwnLayer, tail: Tier): OwnLayer => ({ ...own, tiers: [...own.tiers.slice(0, -1), tail] });

function checkAppend(memory: Memory, cache: KvCache, { layers, positions }: NewRows): E.Either<KvError, Uint32Array> {
  const settled = checkSettled(memory, cache);
  if (E.isLeft(settled)) return settled;
  if (layers.length !== cache.layers.length) return shapeError("layers", String(cache.layers.length), layers.length);
  const first = cache.layers.findIndex((l) => l._tag === "Own");
  const own = cache.layers[first];
  const rows = own === undefined ? 0 : (layers[first]?.keys.length ?? 0) / (own.shape.kvHeads * own.shape.keyDim);
  for (const [l, layer] of cache.layers.entries()) {
    const given = layers[l] ?? undefined;
    if (layer._tag === "Alias" && given !== undefined) return shapeError(`layer ${l}`, "null, it reads the rows of another layer", "rows");
    const fits = layer._tag === "Alias" ? E.right(undefined) : checkRows(layer.shape, given, rows, `layer ${l}`);
    if (E.isLeft(fits)) return fits;
  }
  return checkPositions(positions ?? Array.from({ length: rows }, (_, i) => cache.nextPosition + i), rows, cache.nextPosition);
}

function checkRows(shape: LayerShape, given: DenseRows | undefined, rows: number, at: string): E.Either<KvError, void> {
  if (given === undefined) return shapeError(at, "rows", "none");
  const [keys, values] = [shape.kvHeads * rows * shape.keyDim, shape.kvHeads * rows * shape.valueDim];
  if (!Number.isInteger(rows)) return shapeError(`${at} keys`, `a multiple of ${shape.kvHeads} heads x ${shape.keyDim}`, given.keys.length);
  if (given.keys.length !== keys) return shapeError(`${at} keys`, `${keys} numbers`, given.keys.length);
  return given.values.length === values ? E.right(undefined) : shapeError(`${at} values`, `${values} numbers`, given.values.length);
}

/** Positions below 2^32 - 1 (the value that means "no query"), strictly ascending from `from`. */
export function checkPositions(positions: ReadonlyArray<number>, rows: number, from: number): E.Either<KvError, Uint32Array> {
  if (positions.length !== rows) return shapeError("positions", `${rows} numbers`, positions.length);
  const bad = positions.findIndex((p, i) => !Number.isInteger(p) || p < (i === 0 ? from : (positions[i - 1] ?? 0) + 1) || p >= 0xffffffff);
  return bad < 0 ? E.right(Uint32Array.from(positions)) : E.left({
    _tag: "InvalidArgument",
    argument: `positions[${bad}]`,
    value: String(positions[bad]),
    allowed: `whole numbers from ${from}, strictly ascending, below 4294967295`,
  });
}

/** Operands that do not fit. */
export const shapeError = (at: string, expected: string, actual: number | string): E.Either<KvError, never> =>
  E.left({ _tag: "ShapeMismatch", at, expected, actual: String(actual) });
