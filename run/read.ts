/**
 * A cache's rows as typed arrays.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { rowBytes } from "../cache/codec.ts";
import { decodeRows } from "../cache/encode.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Buffer, KvCache, Tier } from "../cache/types.ts";
import { ownerOf, tierBuffers } from "../cache/view.ts";
import { checkSettled } from "./bind.ts";
import type { Memory } from "./memory.ts";

/** One head's rows, ascending by position. */
export interface HeadRows {
  /** u32 [rows], ascending. */
  readonly positions: Uint32Array;
  /** f32 [rows, keyDim]. */
  readonly keys: Float32Array;
  /** f32 [rows, valueDim]. */
  readonly values: Float32Array;
  /** f32 [rows] each. */
  readonly columns: Readonly<Record<string, Float32Array>>;
}

/** Everything a cache holds, per layer and KV head; a layer that shares another's rows shows those. */
export interface ReadRows {
  /** Per layer and KV head. */
  readonly layers: ReadonlyArray<ReadonlyArray<HeadRows>>;
  /** Position the next token gets. */
  readonly nextPosition: number;
}

/** Reads the rows of a settled cache back. The cache stays as it is. */
export const read = (memory: Memory): (cache: KvCache) => TaskEither<KvError, ReadRows> => (cache) => async () => {
  const settled = checkSettled(memory, cache);
  if (E.isLeft(settled)) return settled;
  const layers: (ReadonlyArray<HeadRows>)[] = [];
  for (const [l, { shape }] of cache.layers.entries()) {
    const tiers: (ReadonlyArray<HeadRows>)[] = [];
    for (const tier of ownerOf(cache, l)?.own.tiers ?? []) {
      const rows = await readTier(memory, shape, tier);
      if (E.isLeft(rows)) return rows;
      tiers.push(rows.right);
    }
    layers.push(Array.from({ length: shape.kvHeads }, (_, h) => joinHeads(tiers.flatMap((heads) => heads[h] ?? []))));
  }
  return E.right({ layers, nextPosition: cache.nextPosition });
};

/** The positions of the rows that each head of each layer keeps, u32 ascending, without the rows themselves. The cache stays as it is.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { compress, fromDense, openMemory, openReference, orThrow, uniformShape } from "../mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: new Float32Array(12), values: new Float32Array(12) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * const small = await orThrow(compress(memory, streamingLlm({ rows: 3, sinks: 1 }))(cache));
 * assertEquals((await orThrow(readPositions(memory)(small))).map((heads) => heads.map((p) => [...p])), [[[0, 4, 5]]]);
 * ```
 */
export const readPositions =
  (memory: Memory): (cache: KvCache) => TaskEither<KvError, ReadonlyArray<ReadonlyArray<Uint32Array>>> => (cache) => async () => {
    const settled = checkSettled(memory, cache);
    if (E.isLeft(settled)) return settled;
    // Every read starts now: what comes after may consume the cache.
    const started = cache.layers.map((_, l) =>
      (ownerOf(cache, l)?.own.tiers ?? []).map(({ segments, storage: { position } }) => ({
        segments,
        bytes: memory.backend.read(position, 0, position.bytes)(),
      }))
    );
    const layers: (ReadonlyArray<Uint32Array>)[] = [];
    for (const [l, { shape }] of cache.layers.entries()) {
      const tiers: (ReadonlyArray<Uint32Array>)[] = [];
      for (const { segments, bytes } of started[l] ?? []) {
        const read = await bytes;
        if (E.isLeft(read)) return read;
        const all = new Uint32Array(Uint8Array.from(read.right).buffer);
        tiers.push(segments.map(({ start, length }) => all.subarray(start, start + length)));
      }
      layers.push(Array.from({ length: shape.kvHeads }, (_, h) => joinPositions(tiers.flatMap((heads) => heads[h] ?? []))));
    }
    return E.right(layers);
  };

async function readTier(memory: Memory, shape: LayerShape, tier: Tier): Promise<E.Either<KvError, ReadonlyArray<HeadRows>>> {
  const contents = new Map<number, Uint8Array>();
  for (const buffer of tierBuffers(tier)) {
    const bytes = await memory.backend.read(buffer, 0, buffer.bytes)();
    if (E.isLeft(bytes)) return bytes;
    contents.set(buffer.id, bytes.right);
  }
  return E.right(tier.segments.map(({ start, length }): HeadRows => {
    const part = (buffer: Buffer, width: number): Uint8Array =>
      (contents.get(buffer.id) ?? new Uint8Array()).subarray(start * width, (start + length) * width);
    const { keys, values, position, columns } = tier.storage;
    const f32 = { _tag: "Plain", dtype: "f32" } as const;
    return {
      positions: new Uint32Array(Uint8Array.from(part(position, 4)).buffer),
      keys: decodeRows(tier.keyCodec, part(keys, rowBytes(tier.keyCodec, shape.keyDim)), shape.keyDim),
      values: decodeRows(tier.valueCodec, part(values, rowBytes(tier.valueCodec, shape.valueDim)), shape.valueDim),
      columns: Object.fromEntries(Object.entries(columns).map(([name, buffer]) => [name, decodeRows(f32, part(buffer, 4), 1)])),
    };
  }));
}

/** The rows of all tiers of a head, ascending by position: rows that passed on by their score lie between others. */
function joinHeads(parts: ReadonlyArray<HeadRows>): HeadRows {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const order = ascending(parts.map((p) => p.positions));
  const rows = (of: (part: HeadRows) => Float32Array | undefined): Float32Array => {
    const widths = parts.map((p) => p.positions.length === 0 ? 0 : (of(p)?.length ?? 0) / p.positions.length);
    const width = Math.max(0, ...widths);
    const out = new Float32Array(order.length * width);
    order.forEach(({ part, row }, i) => out.set(of(parts[part] ?? empty)?.subarray(row * width, (row + 1) * width) ?? [], i * width));
    return out;
  };
  const names = new Set(parts.flatMap((p) => Object.keys(p.columns)));
  return {
    positions: Uint32Array.from(order, ({ part, row }) => parts[part]?.positions[row] ?? 0),
    keys: rows((p) => p.keys),
    values: rows((p) => p.values),
    columns: Object.fromEntries([...names].map((name) => [name, rows((p) => p.columns[name])])),
  };
}

const empty: HeadRows = { positions: new Uint32Array(), keys: new Float32Array(), values: new Float32Array(), columns: {} };

/** Where the rows of several tiers lie, ascending by position, earlier tiers first where positions are equal. */
const ascending = (parts: ReadonlyArray<Uint32Array>): ReadonlyArray<{ readonly part: number; readonly row: number }> =>
  parts.flatMap((positions, part) => Array.from(positions, (position, row) => ({ part, row, position }))).sort((a, b) =>
    a.position - b.position
  );

const joinPositions = (parts: ReadonlyArray<Uint32Array>): Uint32Array =>
  Uint32Array.from(ascending(parts).map(({ part, row }) => parts[part]?.[row] ?? 0));
