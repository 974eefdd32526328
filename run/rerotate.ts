/**
 * Positions without gaps: what is left of a text is read as if nothing had ever been between.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { rowsPerHead } from "../cache/bytes.ts";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import { ropeTable } from "../cache/rope.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { KvCache, LayerCache } from "../cache/types.ts";
import { type OwnLayer, ownLayers, storeTier } from "../cache/view.ts";
import { emit, emptyDraft, finish } from "../plan/draft.ts";
import type { Draft } from "../plan/types.ts";
import { bindings, checkSettled, stage } from "./bind.ts";
import { type Memory, orRetire, retire } from "./memory.ts";
import { copyCache, replaceBy, tailOf } from "./resize.ts";
import { bytesIn, runOnce, type Scratch, wholly, withScratch } from "./scratch.ts";
import { slotsFor } from "./slots.ts";

/** A new cache value whose rows have the positions 0, 1, 2, …, each key turned by as much as its position moved; what is appended follows on.
 * `cache` stays as it is; dispose both. Keys that are stored as f16 round once more; remembered queries, which were rotated for positions that
 * are no more, are forgotten. Left where heads hold different numbers of rows, for rows stored as codes, and where bounds of pages or
 * centroids are held.
 *
 * Source: StreamingLLM, arXiv 2309.17453, section 3.2; as llama.cpp shifts a sequence of which a part was erased.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { compress, fromDense, openMemory, openReference, orThrow, read, rerotate, uniformShape } from "../mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 1, kvHeads: 1, headDim: 2 });
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [{ keys: new Float32Array(12), values: new Float32Array(12) }] }));
 * const few = await orThrow(compress(memory, streamingLlm({ rows: 3, sinks: 1 }))(cache));
 * const moved = await orThrow(rerotate(memory)(few));
 * const [head] = (await orThrow(read(memory)(moved))).layers[0] ?? [];
 * assertEquals([[...head?.positions ?? []], moved.nextPosition], [[0, 1, 2], 3]); // they were 0, 4, 5
 * ```
 */
export const rerotate = (memory: Memory): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) =>
  pipe(
    TE.fromEither(pipe(checkSettled(memory, cache), E.chain(checkRows))),
    TE.chain(() => copyCache(memory, { flatten: true, capacities: (_, segments) => segments.map((s) => s.length) })(cache)),
    TE.chain((copy) => pipe(turn(memory, copy), orRetire(memory, copy))),
  );

/** The same in place of `cache`, which is consumed, also on Left. */
export const rerotateInPlace = (memory: Memory): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) =>
  pipe(rerotate(memory)(cache), TE.chainFirst(() => TE.fromIOEither(retire(memory, cache))), orRetire(memory, cache));

function checkRows(cache: KvCache): E.Either<KvError, void> {
  const refuse = (what: string, because: string): E.Either<KvError, never> =>
    E.left({ _tag: "Unsupported", what, where: "rerotate", because });
  const lengths = [...new Set(rowsPerHead(cache).flat())];
  if (lengths.length > 1) {
    return refuse(
      `heads of ${Math.min(...lengths)} to ${Math.max(...lengths)} rows`,
      "positions can be contiguous for all only where every head of every layer keeps as many",
    );
  }
  for (const { index, own } of ownLayers(cache)) {
    if (storeTier(own) !== null || tailOf(own)?.keyCodec._tag !== "Plain") {
      return refuse(`layer ${index} of this cache`, "codes cannot be turned; store keys as f16 or f32");
    }
    if (tailOf(own)?.storage.pages !== null) {
      return refuse(`layer ${index} of this cache`, "its pages or clusters are of keys as they were");
    }
  }
  return E.right(undefined);
}

const turn = (memory: Memory, cache: KvCache): TE.TaskEither<KvError, KvCache> => {
  const end = Math.max(0, ...rowsPerHead(cache).flat());
  const count = Math.max(1, cache.nextPosition - end + 1);
  const table = (shape: LayerShape): string => `turns.${JSON.stringify(shape.rope)}`;
  const tables = new Map(ownLayers(cache).map(({ own: { shape } }) => [table(shape), shape.rope]));
  const program = finish("rerotate")(
    ownLayers(cache).reduce((d: Draft, { index, own }) => layerOps(index, own, table(own.shape), count)(d), emptyDraft),
  );
  const scratch: ReadonlyArray<Scratch> = [
    { label: "end", content: bytesIn(Uint32Array.of(end)) },
    ...[...tables].map(([label, rope]) => ({ label, content: bytesIn(ropeTable(rope, 0, count)) })),
  ];
  return withScratch(memory, scratch, (buffers) =>
    pipe(
      TE.fromIOEither(stage(memory)(cache)),
      TE.chain(() => runOnce(memory, program, { ...bindings(cache), ...wholly(buffers) })),
      TE.chainEitherK(() => replaceBy(memory, cache, { ...cache, layers: cache.layers.map(forgetful), nextPosition: end })),
    ));
};

const forgetful = (layer: LayerCache): LayerCache => layer._tag === "Own" ? { ...layer, recent: null } : layer;

const layerOps = (index: number, own: OwnLayer, name: string, count: number) => (draft: Draft): Draft => {
  const tail = tailOf(own);
  if (tail === null) return draft;
  const names = [...["keys", "position", "layout"].map((part) => `L${index}.${part}`), "end", name];
  const [args, next] = slotsFor(names)(draft);
  const { kvHeads: heads, keyDim: dim, rope: { dims } } = own.shape;
  const params = { heads, dim, codec: codecName(tail.keyCodec), dims, count };
  return emit({ op: "rerotate", args, params })(next);
};
