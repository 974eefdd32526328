/**
 * A cache's rows as typed arrays.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { decodeRows } from "../cache/encode.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Buffer, KvCache, Tier } from "../cache/types.ts";
import { ownerOf, rowBytes, tierBuffers } from "../cache/view.ts";
import { isExact } from "./bind.ts";
import { checkLive, type Memory } from "./memory.ts";

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
  const live = checkLive(memory, cache);
  if (E.isLeft(live)) return live;
  if (!isExact(cache)) {
    return E.left({ _tag: "InvalidArgument", argument: "cache", value: "lengths not read back", allowed: "a settled cache" });
  }
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
      keys: decodeRows(tier.keyCodec, part(keys, rowBytes(tier.keyCodec, shape.keyDim))),
      values: decodeRows(tier.valueCodec, part(values, rowBytes(tier.valueCodec, shape.valueDim))),
      columns: Object.fromEntries(Object.entries(columns).map(([name, buffer]) => [name, decodeRows(f32, part(buffer, 4))])),
    };
  }));
}

function joinHeads(parts: ReadonlyArray<HeadRows>): HeadRows {
  const floats = (arrays: ReadonlyArray<Float32Array>): Float32Array => {
    const out = new Float32Array(arrays.reduce((sum, a) => sum + a.length, 0));
    arrays.reduce((at, a) => (out.set(a, at), at + a.length), 0);
    return out;
  };
  const names = Object.keys(parts[0]?.columns ?? {});
  return {
    positions: Uint32Array.from(parts.flatMap((p) => [...p.positions])),
    keys: floats(parts.map((p) => p.keys)),
    values: floats(parts.map((p) => p.values)),
    columns: Object.fromEntries(names.map((name) => [name, floats(parts.map((p) => p.columns[name] ?? new Float32Array()))])),
  };
}
