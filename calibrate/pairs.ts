/**
 * Training pairs of some layers out of shards.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { type Safetensors, tensorNumbers } from "../model/safetensors.ts";

/** Pairs of one layer. */
export interface Pairs {
  /** Hidden states, f32 [count, width]. */
  readonly x: Float32Array;
  /** ln max(score, floor), f32 [count, heads]. */
  readonly y: Float32Array;
  readonly width: number;
  readonly heads: number;
  /** Per head the share of scores below {@link FLOOR}. */
  readonly underflowed: ReadonlyArray<number>;
}

/** Reads these tensors of a shard; those that it lacks are not in the result. */
export type ReadShard = (path: string, tensors: ReadonlyArray<string>) => Promise<E.Either<KvError, Safetensors>>;

/** Scores below this count as this before the logarithm: KVzip+ underflows to 0 where nobody ever looks, and ln 0 is no target. */
export const FLOOR = 1e-9;

/** One layer of every shard, one shard after the other. Left: `InvalidFile` for shards that do not fit each other or hold a number that is
 * not finite, or a negative score. */
export async function readPairs(shards: ReadonlyArray<string>, read: ReadShard, layer: number): Promise<E.Either<KvError, Pairs>> {
  const [xs, ys]: readonly [Float32Array[], Float32Array[]] = [[], []];
  let [width, heads] = [0, 0];
  for (const path of shards) {
    const [h, t] = [`hidden.${layer}`, `target.${layer}`];
    const file = await read(path, [h, t]);
    if (E.isLeft(file)) return file;
    const [hidden, target] = [file.right.tensors.get(h), file.right.tensors.get(t)];
    const bad = (found: string, allowed: string): E.Either<KvError, never> =>
      E.left({ _tag: "InvalidFile", file: path, at: `layer ${layer}`, found, allowed });
    if (hidden === undefined || target === undefined) return bad("no such layer", "hidden states and targets");
    const [[count = 0, columns = 0], [also = 0, rows = 0]] = [hidden.shape, target.shape];
    const fits = count === also && columns > 0 && rows > 0 && (width === 0 || (width === columns && heads === rows));
    if (!fits) return bad(`${hidden.shape.join(" x ")} and ${target.shape.join(" x ")}`, "as many targets as states, like other shards");
    const [x, s] = [tensorNumbers(hidden), tensorNumbers(target)];
    if (!x.every(Number.isFinite)) return bad("a hidden state that is not finite", "finite numbers");
    if (!s.every((v) => v >= 0 && Number.isFinite(v))) return bad("a score that is not a number from 0", "finite scores from 0");
    xs.push(x);
    ys.push(s);
    [width, heads] = [columns, rows];
  }
  const scores = joined(ys);
  const below = new Float64Array(heads);
  const y = scores.map((v, i) => {
    if (v < FLOOR) below[i % heads] = (below[i % heads] ?? 0) + 1;
    return Math.log(Math.max(v, FLOOR));
  });
  return E.right({ x: joined(xs), y, width, heads, underflowed: [...below].map((n) => n * heads / scores.length) });
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
