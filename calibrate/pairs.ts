/**
 * Training pairs of some layers out of shards.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { readSafetensors, tensorNumbers } from "../model/safetensors.ts";

/** Pairs of one layer. */
export interface Pairs {
  /** Hidden states, f32 [count, width]. */
  readonly x: Float32Array;
  /** ln max(score, floor), f32 [count, heads]. */
  readonly y: Float32Array;
  readonly width: number;
  readonly heads: number;
}

/** Scores below this count as this before the logarithm: KVzip+ underflows to 0 where nobody ever looks, and ln 0 is no target. */
export const FLOOR = 1e-9;

/** Layer `layer` of every shard, one after the other. Left: `InvalidFile` for shards that do not fit each other or hold a number that is
 * not finite, or a negative score. */
export async function readPairs(
  shards: ReadonlyArray<string>,
  read: (path: string) => Promise<E.Either<KvError, Uint8Array>>,
  layers: ReadonlyArray<number>,
): Promise<E.Either<KvError, ReadonlyArray<Pairs>>> {
  const parts = layers.map((): { readonly x: Float32Array[]; readonly y: Float32Array[]; width: number; heads: number } => ({
    x: [],
    y: [],
    width: 0,
    heads: 0,
  }));
  for (const path of shards) {
    const bytes = await read(path);
    if (E.isLeft(bytes)) return bytes;
    const file = readSafetensors(path, bytes.right);
    if (E.isLeft(file)) return file;
    for (const [i, layer] of layers.entries()) {
      const [hidden, target] = [file.right.tensors.get(`hidden.${layer}`), file.right.tensors.get(`target.${layer}`)];
      const part = parts[i];
      const bad = (found: string, allowed: string): E.Either<KvError, never> =>
        E.left({ _tag: "InvalidFile", file: path, at: `layer ${layer}`, found, allowed });
      if (hidden === undefined || target === undefined || part === undefined) return bad("no such layer", "hidden states and targets");
      const [[count = 0, width = 0], [also = 0, heads = 0]] = [hidden.shape, target.shape];
      const fits = count === also && width > 0 && heads > 0 && (part.width === 0 || (part.width === width && part.heads === heads));
      if (!fits) return bad(`${hidden.shape.join(" x ")} and ${target.shape.join(" x ")}`, "as many targets as states, like other shards");
      const [x, s] = [tensorNumbers(hidden), tensorNumbers(target)];
      if (!x.every(Number.isFinite)) return bad("a hidden state that is not finite", "finite numbers");
      if (!s.every((v) => v >= 0 && Number.isFinite(v))) return bad("a score that is not a number from 0", "finite scores from 0");
      part.x.push(x);
      part.y.push(s.map((v) => Math.log(Math.max(v, FLOOR))));
      [part.width, part.heads] = [width, heads];
    }
  }
  return E.right(parts.map(({ x, y, width, heads }): Pairs => ({ x: joined(x), y: joined(y), width, heads })));
}

function joined(parts: ReadonlyArray<Float32Array>): Float32Array {
  const out = new Float32Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
