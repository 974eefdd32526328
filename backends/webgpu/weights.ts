/**
 * Loading weights: blocks as they lie in the file, padded to whole words; vectors as f32.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../../cache/error.ts";
import type { Result, Weight, WeightSource } from "../backend.ts";
import { blockForms, checkWeight } from "../blocks.ts";
import { held } from "../held.ts";
import { type HeldTile, type HeldWeight, mostBytes, release, reserve, type Store } from "./memory.ts";

const fail = (source: WeightSource, expected: string, actual: string): E.Either<KvError, never> =>
  E.left({ _tag: "ShapeMismatch", at: `weight ${source.name}`, expected, actual });

/** Holds a weight. */
export const loadWeight = (store: Store, source: WeightSource): Result<Weight> =>
  pipe(
    checkWeight(source),
    E.chain(() => {
      const isVector = source.uses.includes("vector");
      if (source.uses.length === 0 || (isVector && source.uses.length > 1)) {
        return fail(source, "uses matmul, embed or both, or vector alone", source.uses.join(" "));
      }
      return isVector ? pipe(vectorBytes(source), E.chain((bytes) => hold(store, source, true, bytes, 1))) : matrix(store, source);
    }),
  );

/** A vector as f32. Files keep norms and biases as floats. */
function vectorBytes(source: WeightSource): Result<Uint8Array> {
  const { type, cols, bytes } = source;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers = new Float32Array(cols);
  const upper = new Uint32Array(numbers.buffer);
  for (let i = 0; i < cols; i++) {
    if (type === "F32") numbers[i] = view.getFloat32(4 * i, true);
    else if (type === "F16") numbers[i] = view.getFloat16(2 * i, true);
    else if (type === "BF16") upper[i] = view.getUint16(2 * i, true) << 16;
    else return fail(source, "a vector of F32, F16 or BF16", type);
  }
  return E.right(new Uint8Array(numbers.buffer));
}

/** Bytes of a block as it is held, and after how many of them padding goes. */
function padding({ type }: WeightSource): { readonly held: number; readonly after: number } {
  const { bytes } = blockForms[type];
  // Q6_K has its scale at the end, the others theirs in front of quants that shall start at a word.
  return { held: bytes < 4 ? bytes : Math.ceil(bytes / 4) * 4, after: type === "Q6_K" ? bytes : 2 };
}

/** Blocks with padding; the bytes themselves where none is needed. */
function padded(source: WeightSource): Uint8Array {
  const { bytes: size } = blockForms[source.type];
  const { held: wide, after } = padding(source);
  if (wide === size) return source.bytes;
  const blocks = source.bytes.length / size;
  const out = new Uint8Array(blocks * wide);
  for (let b = 0; b < blocks; b++) {
    const [from, to] = [b * size, b * wide];
    out.set(source.bytes.subarray(from, from + after), to);
    out.set(source.bytes.subarray(from + after, from + size), to + after + (after === size ? 0 : wide - size));
  }
  return out;
}

/** Tiles of rows that each fit a binding. An even number of rows, so that a row of halves never starts in the middle of a word's pair. */
function matrix(store: Store, source: WeightSource): Result<Weight> {
  const bytes = padded(source);
  const rowBytes = source.rows === 0 ? 0 : bytes.length / source.rows;
  const perTile = Math.floor(mostBytes(store.device) / Math.max(1, rowBytes) / 2) * 2;
  if (perTile === 0) {
    return E.left<KvError>({
      _tag: "OverLimit",
      limit: `a row of weight ${source.name}, bytes`,
      needed: rowBytes,
      available: mostBytes(store.device),
    });
  }
  return hold(store, source, false, bytes, Math.min(perTile, Math.max(1, source.rows)));
}

function hold(store: Store, source: WeightSource, isVector: boolean, bytes: Uint8Array, perTile: number): Result<Weight> {
  const { name, type, rows, cols } = source;
  const rowBytes = rows === 0 ? 0 : bytes.length / rows;
  const tiles: HeldTile[] = [];
  for (let first = 0; first === 0 || first < rows; first += perTile) {
    const count = Math.min(perTile, rows - first);
    const part = bytes.subarray(first * rowBytes, (first + count) * rowBytes);
    const gpu = reserve(store, "weights", part.length, name);
    if (E.isLeft(gpu)) {
      for (const tile of tiles) release(store, "weights", tile.gpu);
      return gpu;
    }
    upload(store, gpu.right, part);
    tiles.push({ first, rows: count, gpu: gpu.right });
  }
  const total = tiles.reduce((sum, { gpu }) => sum + gpu.size, 0);
  const weight: Weight = { id: store.nextId++, name, type, rows, cols, bytes: total };
  store.weights.set(weight.id, { weight, isVector, tiles });
  return E.right(weight);
}

/** Uploads whole words. */
function upload({ device: { gpu } }: Store, target: GPUBuffer, bytes: Uint8Array): void {
  const whole = bytes.length - bytes.length % 4;
  if (whole > 0) gpu.queue.writeBuffer(target, 0, bytes as Uint8Array<ArrayBuffer>, 0, whole);
  if (whole === bytes.length) return;
  const last = new Uint8Array(4);
  last.set(bytes.subarray(whole));
  gpu.queue.writeBuffer(target, whole, last);
}

/** Forgets a weight. */
export const freeWeight = (store: Store, weight: Weight): Result<void> =>
  pipe(
    held(store.weights, weight.id, `weight ${weight.name}`),
    E.map(({ tiles }: HeldWeight) => {
      store.weights.delete(weight.id);
      for (const { gpu } of tiles) release(store, "weights", gpu);
    }),
  );
