/**
 * Choosing the next token from logits: greedy, or temperature, then top-k, then top-p, in f64 on the host. Draws come from a
 * counter: the i-th draw depends on the seed and on i alone, so the same seed gives the same tokens on every machine whose
 * logits are the same, and there is no generator state to carry.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";

/** How tokens are drawn. */
export interface Sampling {
  /** Divides the logits; 0 means greedy: the largest logit, the lowest id on ties. */
  readonly temperature: number;
  /** Only the k largest logits take part; 0 means all. */
  readonly topK: number;
  /** Of those, only the fewest whose probabilities sum to at least this; 1 means all. */
  readonly topP: number;
  /** Whole number from 0 to 2^53 - 1. */
  readonly seed: number;
}

/** Always the most probable token. */
export const greedy: Sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 };

/** Completes and checks sampling options: what is absent is as in {@link greedy}.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * assertEquals(checkSampling({ temperature: 0.8 }), E.right({ temperature: 0.8, topK: 0, topP: 1, seed: 0 }));
 * assertEquals(E.isLeft(checkSampling({ topP: 0 })), true);
 * ```
 */
export function checkSampling(options: Partial<Sampling> = {}): E.Either<KvError, Sampling> {
  const all = { ...greedy, ...options };
  const wrong = (argument: string, value: number, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument, value: String(value), allowed });
  if (!(all.temperature >= 0 && all.temperature <= 100)) return wrong("temperature", all.temperature, "a number from 0 to 100");
  if (!Number.isSafeInteger(all.topK) || all.topK < 0) return wrong("topK", all.topK, "a whole number from 0 (all tokens)");
  if (!(all.topP > 0 && all.topP <= 1)) return wrong("topP", all.topP, "a number above 0, at most 1");
  if (!Number.isSafeInteger(all.seed) || all.seed < 0) return wrong("seed", all.seed, "a whole number from 0 to 2^53 - 1");
  return E.right(all);
}

/** Draw number `index` of a seed, uniform in [0, 1): the (index + 1)-th output of SplitMix64 (Steele, Lea, Flood 2014), its
 * upper 53 bits. */
export function uniform(seed: number, index: number): number {
  const word = (n: bigint): bigint => BigInt.asUintN(64, n);
  const state = word(BigInt(seed) + BigInt(index + 1) * 0x9e3779b97f4a7c15n);
  const a = word((state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
  const b = word((a ^ (a >> 27n)) * 0x94d049bb133111ebn);
  return Number((b ^ (b >> 31n)) >> 11n) / 2 ** 53;
}

/** Draw number `index` from logits [vocab]: a token id. Left if a logit is NaN or +Infinity, or if none is finite.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * assertEquals(sample(greedy, 0)(Float32Array.of(1, 3, 3)), E.right(1));
 * ```
 */
export const sample = (sampling: Sampling, index: number): (logits: Float32Array) => E.Either<KvError, number> => (logits) => {
  const best = argmax(logits);
  if (E.isLeft(best) || sampling.temperature === 0) return best;
  const top = logits[best.right] ?? 0;
  const weights = Float64Array.from(logits, (l) => Math.exp((l - top) / sampling.temperature));
  const count = candidates(sampling, weights);
  return E.right(draw(count < weights.length ? keepLargest(logits, weights, count) : weights, uniform(sampling.seed, index), best.right));
};

/** Index of the largest logit, the lowest on ties. Left as for {@link sample}. */
export function argmax(logits: Float32Array): E.Either<KvError, number> {
  let best = -1;
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const l = logits[i] ?? NaN;
    if (!(l < Infinity)) return noToken(`logit ${i} is ${l}`);
    if (l > top) [best, top] = [i, l];
  }
  return best >= 0 ? E.right(best) : noToken(`none of the ${logits.length} logits is finite`);
}

/** Why there is no next token. */
export const noToken = (because: string): E.Either<KvError, never> => E.left({ _tag: "Unavailable", what: "a next token", because });

/** How many of the largest weights may be drawn. */
function candidates({ topK, topP }: Sampling, weights: Float64Array): number {
  const limit = topK === 0 ? weights.length : Math.min(topK, weights.length);
  if (topP === 1) return limit;
  const falling = weights.toSorted().reverse().subarray(0, limit);
  const wanted = topP * falling.reduce((sum, w) => sum + w, 0);
  let sum = 0;
  const last = falling.findIndex((w) => (sum += w) >= wanted);
  return last < 0 ? limit : last + 1;
}

/** The weights of the `count` largest logits, all others 0; of equal logits the lower ids stay. Logits decide, because different
 * ones may have equal weights after rounding. */
function keepLargest(logits: Float32Array, weights: Float64Array, count: number): Float64Array {
  const cut = logits.toSorted()[logits.length - count] ?? 0;
  let ties = count - logits.reduce((n, l) => n + (l > cut ? 1 : 0), 0);
  return weights.map((w, i) => {
    const l = logits[i] ?? NaN;
    return l > cut || (l === cut && ties-- > 0) ? w : 0;
  });
}

/** The id at which the running sum passes the share `u` of the whole. */
function draw(weights: Float64Array, u: number, fallback: number): number {
  const wanted = u * weights.reduce((sum, w) => sum + w, 0);
  let sum = 0;
  const found = weights.findIndex((w) => w > 0 && (sum += w) > wanted);
  return found < 0 ? fallback : found;
}
