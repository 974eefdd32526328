/**
 * Attention of given queries over one layer of a cache, for hosts and tests.
 * @module
 */
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { NONE } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";
import type { KvCache } from "../cache/types.ts";
import { ownerOf } from "../cache/view.ts";
import { emptyDraft, finish } from "../plan/draft.ts";
import { bindings, stage } from "./bind.ts";
import type { Memory } from "./memory.ts";
import { bytesIn, runOnce, withScratch } from "./scratch.ts";
import { attendLayer, slotsFor } from "./slots.ts";

/** What queries see. */
export interface Attended {
  /** f32 [queries, queryHeads, valueDim]; zeros where nothing is visible. */
  readonly out: Float32Array;
  /** f32 [queries, queryHeads]: log of the sum of exponentials, -1e30 where nothing is visible. */
  readonly lse: Float32Array;
}

/** Softmax attention of `queries` (f32 [positions.length, queryHeads, keyDim], rotated) at `positions` over all tiers of a
 * layer. The cache stays as it is.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { attend, fromDense, openMemory, openReference, orThrow, uniformShape } from "../mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: Float32Array.of(1, 0, 1, 0), values: Float32Array.of(2, 0, 4, 0) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * const { out } = await orThrow(attend(memory)(cache, 0, Float32Array.of(1, 0, 0, 1), [1]));
 * assertEquals([...out], [3, 0, 3, 0]); // equal keys: the mean of the values, for both query heads
 * ```
 */
export const attend = (
  memory: Memory,
): (cache: KvCache, layer: number, queries: Float32Array, positions: ReadonlyArray<number>) => TE.TaskEither<KvError, Attended> =>
(cache, layer, queries, positions) => {
  const [shape, owner] = [cache.layers[layer]?.shape, ownerOf(cache, layer)];
  if (shape === undefined || owner === null) {
    return TE.left({ _tag: "InvalidArgument", argument: "layer", value: String(layer), allowed: `0 to ${cache.layers.length - 1}` });
  }
  const m = positions.length;
  const width = shape.queryHeads * shape.keyDim;
  if (queries.length !== m * width) {
    return TE.left({ _tag: "ShapeMismatch", at: "queries", expected: `${m} x ${width} numbers`, actual: String(queries.length) });
  }
  const bad = positions.findIndex((p) => !Number.isInteger(p) || p < 0 || p > 0xffffffff);
  if (bad >= 0) {
    return TE.left({ _tag: "InvalidArgument", argument: `positions[${bad}]`, value: String(positions[bad]), allowed: "0 to 4294967295" });
  }
  const scratch = [
    { label: "q", content: bytesIn(queries) },
    { label: "at", content: bytesIn(Uint32Array.from(positions)) },
    { label: "out", content: m * shape.queryHeads * shape.valueDim * 4 },
    { label: "lse", content: m * shape.queryHeads * 4 },
  ];
  const [[q = NONE, position = NONE, out = NONE, lse = NONE], named] = slotsFor(["q", "at", "out", "lse"])(emptyDraft);
  const draft = attendLayer(cache, layer, { queries: q, position, out, lse, m })(named);
  return withScratch(memory, scratch, (buffers) => {
    const own = Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, { buffer }]));
    const readBack = (name: string, length: number): TE.TaskEither<KvError, Float32Array> => {
      const buffer = buffers[name];
      return buffer === undefined ? TE.right(new Float32Array()) : pipe(
        memory.backend.read(buffer, 0, length * 4),
        TE.map((bytes) => new Float32Array(Uint8Array.from(bytes).buffer)),
      );
    };
    return pipe(
      TE.fromIOEither(stage(memory)(cache)),
      TE.chain(() => runOnce(memory, finish("attend")(draft), { ...bindings(cache), ...own })),
      TE.chain(() => readBack("out", m * shape.queryHeads * shape.valueDim)),
      TE.chain((out) => pipe(readBack("lse", m * shape.queryHeads), TE.map((lse) => ({ out, lse })))),
    );
  });
};
