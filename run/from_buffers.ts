/**
 * Rows that lie in a host's own buffers: a cache over them, without a copy.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import { checkShape } from "../cache/check_shape.ts";
import { rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { Buffer, Codec, KvCache, LayerCache, Tier } from "../cache/types.ts";
import { checkPositions, shapeError } from "./dense.ts";
import { admitNew, type Memory } from "./memory.ts";
import { bytesIn } from "./scratch.ts";
import { allocAll, allocLayouts, freeAll, segmentsOf } from "./storage.ts";

/** Rows of one layer in buffers of the memory's backend, such as WebGPU's `adopt` gives for a host's `GPUBuffer`. */
export interface BufferRows {
  /** [kvHeads, rows, keyDim], after rotation, from the buffer's first byte on. */
  readonly keys: Buffer;
  /** [kvHeads, rows, valueDim], from the buffer's first byte on. */
  readonly values: Buffer;
}

/** Rows of a whole model, where they lie. */
export interface InBuffers {
  /** Geometry of the layers. */
  readonly shape: Pick<ModelShape, "layers">;
  /** One entry per layer; no buffer twice. */
  readonly layers: ReadonlyArray<BufferRows>;
  /** Rows per head, from 1. */
  readonly rows: number;
  /** What the numbers are. */
  readonly dtype: "f32" | "f16";
  /** True positions, ascending; default 0, 1, 2, … */
  readonly positions?: ReadonlyArray<number>;
}

/** A cache over a host's own rows, none of which is copied. The cache takes the buffers over: they are freed with it, which for adopted ones
 * only forgets them. `compress` leaves what is in them as it is; `apply` may write there, as into any cache's memory. Left(ShapeMismatch) for
 * a buffer that is too small, Left(InvalidArgument) for counts, positions and buffers given twice; then the buffers stay the caller's.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { compress, fromBuffers, openMemory, openReference, orThrow, readPositions, uniformShape } from "../mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const [keys, values] = [await orThrow(backend.alloc(6 * 2 * 4, "keys")), await orThrow(backend.alloc(6 * 2 * 4, "values"))];
 * const cache = await orThrow(fromBuffers(memory)({ shape, layers: [{ keys, values }], rows: 6, dtype: "f32" }));
 * const small = await orThrow(compress(memory, streamingLlm({ rows: 3, sinks: 1 }))(cache));
 * assertEquals((await orThrow(readPositions(memory)(small)))[0]?.map((head) => [...head]), [[0, 4, 5]]);
 * ```
 */
export const fromBuffers = (memory: Memory): (given: InBuffers) => IOEither<KvError, KvCache> => (given) => () => {
  const { shape: { layers: shapes }, dtype, rows } = given;
  const positions = checkGiven(given);
  if (E.isLeft(positions)) return positions;
  const codec: Codec = { _tag: "Plain", dtype };
  const layouts = allocLayouts(memory, shapes.map((s) => s.kvHeads))();
  if (E.isLeft(layouts)) return layouts;
  const made = allocAll(memory, shapes.map((s, l) => ({ bytes: s.kvHeads * rows * 4, label: `L${l}.position` })))();
  if (E.isLeft(made)) {
    freeAll(memory, [layouts.right.layout])();
    return made;
  }
  const layers: LayerCache[] = [];
  for (const [l, shape] of shapes.entries()) {
    const [own, position] = [given.layers[l], made.right[l]];
    if (own === undefined || position === undefined) continue;
    const wrote = memory.backend.write(position, 0, bytesIn(repeated(positions.right, shape.kvHeads)))();
    if (E.isLeft(wrote)) {
      freeAll(memory, [layouts.right.layout, ...made.right])();
      return wrote;
    }
    const full = Array.from({ length: shape.kvHeads }, () => rows);
    const tier: Tier = {
      keyCodec: codec,
      valueCodec: codec,
      storage: { ...own, position, columns: {}, pages: null },
      segments: segmentsOf(full, full),
      layoutOffset: layouts.right.offsets[l] ?? 0,
      exact: true,
      frozen: false,
    };
    layers.push({ _tag: "Own", shape, tiers: [tier], recent: null });
  }
  const nextPosition = (positions.right.at(-1) ?? -1) + 1;
  return E.right(admitNew(memory, { layers, nextPosition, layout: layouts.right.layout }));
};

const repeated = (positions: Uint32Array, heads: number): Uint32Array =>
  Uint32Array.from({ length: positions.length * heads }, (_, i) => positions[i % positions.length] ?? 0);

function checkGiven({ shape, layers, rows, dtype, positions }: InBuffers): E.Either<KvError, Uint32Array> {
  const sound = checkShape(shape);
  if (E.isLeft(sound)) return sound;
  if (layers.length !== shape.layers.length) return shapeError("layers", String(shape.layers.length), layers.length);
  const wrong = (argument: string, value: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument, value, allowed });
  if (!Number.isSafeInteger(rows) || rows < 1) return wrong("rows", String(rows), "a whole number of rows from 1");
  if (dtype !== "f32" && dtype !== "f16") return wrong("dtype", String(dtype), "f32 or f16");
  const all = layers.flatMap(({ keys, values }) => [keys, values]);
  const twice = all.find(({ id }, i) => all.findIndex((other) => other.id === id) !== i);
  if (twice !== undefined) {
    return wrong("layers", `buffer ${twice.label} twice`, "a buffer of its own for all keys and all values of each layer");
  }
  const fits = shape.layers.map((one, l) => checkSizes(one, layers[l], rows, dtype, `layer ${l}`)).find(E.isLeft);
  return fits ?? checkPositions(positions ?? Array.from({ length: rows }, (_, i) => i), rows, 0);
}

function checkSizes(
  shape: LayerShape,
  given: BufferRows | undefined,
  rows: number,
  dtype: InBuffers["dtype"],
  at: string,
): E.Either<KvError, void> {
  const codec: Codec = { _tag: "Plain", dtype };
  for (const [name, dim] of [["keys", shape.keyDim], ["values", shape.valueDim]] as const) {
    const [needed, actual] = [shape.kvHeads * rows * rowBytes(codec, dim), given?.[name].bytes ?? 0];
    if (actual < needed) {
      const sizes = `${shape.kvHeads} x ${rows} x ${dim} of ${dtype}`;
      return shapeError(`${at} ${name}`, `a buffer of at least ${needed} bytes, ${sizes}`, `${actual} bytes`);
    }
  }
  return E.right(undefined);
}
