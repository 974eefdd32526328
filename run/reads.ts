/**
 * How many rows a run's queries read: all that a layer holds, or what a selection has chosen, counted where it was chosen.
 * @module
 */
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Binding } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer, KvCache } from "../cache/types.ts";
import { ownerOf, ownLayers, rowsOf } from "../cache/view.ts";
import { readsName } from "../plan/select.ts";
import type { PolicyPlan, SplicePoint } from "../plan/types.ts";
import type { Memory } from "./memory.ts";
import type { Scratch } from "./scratch.ts";
import { roundBytes } from "./storage.ts";

const label = "reads";

/** Layers that choose rows at this point, with the place of their counts. */
function places(memory: Memory, plan: PolicyPlan, point: SplicePoint, cache: KvCache) {
  let offset = 0;
  return ownLayers(cache).filter(({ index }) => plan.selectsAt(point, index)).map(({ index, own }) => {
    const place = { index, offset, heads: own.shape.kvHeads };
    offset = roundBytes(memory, offset + own.shape.kvHeads * 4);
    return { ...place, end: offset };
  });
}

/** Room for the counts of a run, none where nothing is chosen. */
export function readsScratch(memory: Memory, plan: PolicyPlan, point: SplicePoint, cache: KvCache): ReadonlyArray<Scratch> {
  const end = places(memory, plan, point, cache).at(-1)?.end ?? 0;
  return end === 0 ? [] : [{ label, content: end }];
}

/** Where each layer writes its counts. */
export const readsBindings = (
  memory: Memory,
  plan: PolicyPlan,
  point: SplicePoint,
  cache: KvCache,
  buffers: Readonly<Record<string, Buffer>>,
): Readonly<Record<string, Binding>> => {
  const buffer = buffers[label];
  return buffer === undefined ? {} : Object.fromEntries(
    places(memory, plan, point, cache).map(({ index, offset }) => [readsName(index), { buffer, offset }]),
  );
};

/** Rows that one query of the run reads, over all layers and KV heads: `cache` is the value that the run appended `m` rows to. */
export const countReads =
  (memory: Memory, plan: PolicyPlan, point: SplicePoint, cache: KvCache, m: number) =>
  (buffers: Readonly<Record<string, Buffer>>): TaskEither<KvError, number> => {
    const chosen = places(memory, plan, point, cache);
    const buffer = buffers[label];
    const rows = cache.layers.reduce((sum, { shape }, l) => {
      const owner = ownerOf(cache, l);
      const selected = chosen.some(({ index }) => index === l);
      const held = (owner?.own.tiers ?? []).map(({ segments }) => rowsOf(segments));
      const tail = selected ? 0 : (held.at(-1) ?? 0) + m * shape.kvHeads;
      return sum + held.slice(0, -1).reduce((a, b) => a + b, 0) + tail;
    }, 0);
    if (buffer === undefined) return TE.right(rows);
    return TE.map((bytes: Uint8Array) => {
      const counts = new Uint32Array(bytes.slice().buffer);
      return chosen.reduce(
        (sum, { offset, heads }) => sum + counts.subarray(offset / 4, offset / 4 + heads).reduce((a, b) => a + b, 0),
        rows,
      );
    })(memory.backend.read(buffer, 0, chosen.at(-1)?.end ?? 0));
  };
