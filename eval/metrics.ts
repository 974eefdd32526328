/**
 * How far the predictions under a pruned cache are from those under the full one: three numbers over the same positions of a text, computed
 * in f64. Logits are f32 rows of length `vocab`, one per predicted token.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import { sequenceS } from "fp-ts/Apply.js";
import type { KvError } from "../cache/error.ts";

/** One row of logits per position. */
export type Logits = ReadonlyArray<Float32Array>;

/** How two runs over the same tokens compare. */
export interface Fidelity {
  /** Mean negative log-likelihood of the text under the compared run minus that under the base run, nats per token. Below zero: the text is
   * more likely under the compared run. */
  readonly nllDelta: number;
  /** Mean Kullback-Leibler divergence of the compared run's distribution from the base run's, nats per token, at least 0. */
  readonly kl: number;
  /** Share of positions where both runs find the same token likeliest, 0 to 1. */
  readonly top1: number;
}

/** log(sum(exp(x))) without overflow. */
export function logSumExp(row: Float32Array): number {
  let top = -Infinity;
  for (const x of row) if (x > top) top = x;
  if (!Number.isFinite(top)) return top;
  let sum = 0;
  for (const x of row) sum += Math.exp(x - top);
  return top + Math.log(sum);
}

/** Index of the largest logit, the lowest on ties. */
function likeliest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  return best;
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** Mean negative log-likelihood of `targets`, nats per token. Left if the counts differ, there are none, or a target is not in the vocabulary.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(nll([new Float32Array([0, 0, 0, 0])], [2]), { _tag: "Right", right: Math.log(4) });
 * ```
 */
export function nll(logits: Logits, targets: ReadonlyArray<number>): Either<KvError, number> {
  if (logits.length === 0 || logits.length !== targets.length) {
    return mismatch("nll", "one target per row of logits, and at least one", `${targets.length} targets for ${logits.length} rows`);
  }
  const outside = targets.findIndex((target, i) => !(target in (logits[i] ?? {})));
  if (outside >= 0) return mismatch("nll", `targets from 0 to ${(logits[outside]?.length ?? 0) - 1}`, `${targets[outside]}`);
  return E.right(mean(logits.map((row, i) => logSumExp(row) - (row[targets[i] ?? 0] ?? 0))));
}

/** Mean KL(base ‖ compared), nats per token. Left unless both have the same shape. */
export const kl = (base: Logits, compared: Logits): Either<KvError, number> =>
  E.map(() => mean(base.map((row, i) => divergence(row, compared[i] ?? row))))(sameShape("kl", base, compared));

function divergence(base: Float32Array, compared: Float32Array): number {
  const [zp, zq] = [logSumExp(base), logSumExp(compared)];
  let sum = 0;
  for (let i = 0; i < base.length; i++) {
    const logP = (base[i] ?? 0) - zp;
    const p = Math.exp(logP);
    if (p > 0) sum += p * (logP - ((compared[i] ?? 0) - zq));
  }
  // Rounding can take the divergence of equal rows a little below its true minimum.
  return Math.max(0, sum);
}

/** Share of rows with the same largest logit. Left unless both have the same shape. */
export const top1 = (base: Logits, compared: Logits): Either<KvError, number> =>
  E.map(() => mean(base.map((row, i) => likeliest(row) === likeliest(compared[i] ?? row) ? 1 : 0)))(sameShape("top1", base, compared));

/** All three at once.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const row = [new Float32Array([0.5, -1, 2])];
 * assertEquals(fidelity(row, row, [0]), { _tag: "Right", right: { nllDelta: 0, kl: 0, top1: 1 } });
 * ```
 */
export function fidelity(base: Logits, compared: Logits, targets: ReadonlyArray<number>): Either<KvError, Fidelity> {
  const parts = sequenceS(E.Apply)({
    before: nll(base, targets),
    after: nll(compared, targets),
    kl: kl(base, compared),
    top1: top1(base, compared),
  });
  return E.map(({ before, after, kl, top1 }: { before: number; after: number; kl: number; top1: number }) => ({
    nllDelta: after - before,
    kl,
    top1,
  }))(parts);
}

function sameShape(at: string, base: Logits, compared: Logits): Either<KvError, void> {
  const show = (logits: Logits): string => `${logits.length} rows of ${logits[0]?.length ?? 0}`;
  const same = base.length === compared.length && base.every((row, i) => row.length === compared[i]?.length);
  return same && base.length > 0 ? E.right(undefined) : mismatch(at, `${show(base)}, at least one`, show(compared));
}

const mismatch = <A>(at: string, expected: string, actual: string): Either<KvError, A> =>
  E.left({ _tag: "ShapeMismatch", at, expected, actual });
