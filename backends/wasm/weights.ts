/**
 * Loading weights: packed into the order in which the kernels read them.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../../cache/error.ts";
import type { Result, Weight, WeightSource } from "../backend.ts";
import { checkWeight, weightTypes } from "../blocks.ts";
import { type HeldWeight, release, reserve, type Store } from "./memory.ts";

const bits = { matmul: 1, embed: 2, vector: 4 } as const;

/** How a source is used, as bits. A vector becomes plain f32, which no matrix kernel reads. */
function usesOf({ name, uses }: WeightSource): Result<number> {
  const mask = uses.reduce((all, use) => all | bits[use], 0);
  if (mask === bits.vector || (mask > 0 && mask < bits.vector)) return E.right(mask);
  return E.left({
    _tag: "ShapeMismatch",
    at: `weight ${name}`,
    expected: "uses matmul, embed or both, or vector alone",
    actual: uses.join(" "),
  });
}

/** Packs a weight and holds it. */
export const loadWeight = (store: Store, source: WeightSource): Result<Weight> =>
  pipe(
    checkWeight(source),
    E.chain(usesOf),
    E.chain((uses) => pack(store, source, uses)),
    E.map((held) => {
      store.weights.set(held.weight.id, held);
      return held.weight;
    }),
  );

function pack(store: Store, source: WeightSource, uses: number): Result<HeldWeight> {
  const { name, rows, cols } = source;
  const type = weightTypes.indexOf(source.type);
  // The kernel counts in 32 bits; f32 is the widest form a weight takes, and padding adds less than half.
  const most = rows * cols * 6;
  if (most >= 2 ** 32) {
    return E.left<KvError>({ _tag: "OverLimit", limit: `weight ${name}, bytes when widened`, needed: most, available: 2 ** 32 - 1 });
  }
  return pipe(
    reserve(store, "weights", store.instance.kernels.packedBytes(type, rows, cols, uses)),
    E.chain((region) => {
      const filled = fill(store, source, { type, uses, target: region.address });
      if (E.isLeft(filled)) {
        release(store, "weights", region);
        return filled;
      }
      const weight: Weight = { id: store.nextId++, name, type: source.type, rows, cols, bytes: region.bytes };
      return E.right({ ...region, weight, type, uses });
    }),
  );
}

/** Source bytes that are staged at a time. */
const slice = 2 ** 20;

/** Feeds whole groups of rows through a staging region. */
function fill(
  store: Store,
  { bytes, rows, cols }: WeightSource,
  { type, uses, target }: { readonly type: number; readonly uses: number; readonly target: number },
): Result<void> {
  const rowBytes = rows === 0 ? 0 : bytes.length / rows;
  const group = store.instance.kernels.rowInterleave();
  const step = Math.max(1, Math.floor(slice / Math.max(1, rowBytes * group))) * group;
  return pipe(
    reserve(store, "scratch", Math.min(rows, step) * rowBytes),
    E.map((staging) => {
      for (let first = 0; first < rows; first += step) {
        const count = Math.min(step, rows - first);
        store.bytes.set(bytes.subarray(first * rowBytes, (first + count) * rowBytes), staging.address);
        store.instance.kernels.pack(type, rows, cols, uses, staging.address, target, first, count);
      }
      release(store, "scratch", staging);
    }),
  );
}
