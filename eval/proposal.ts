/**
 * What a budget could hold: for each pair of codecs of a policy that trades rows against precision, the rows it has room for, their bytes,
 * and which pair the planner proposes.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import { codecOf, rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import { candidates, proposed } from "../plan/fit.ts";
import type { Target } from "../plan/types.ts";
import { showBudget } from "../policy/budget.ts";
import type { CodecPair, Fit, Policy } from "../policy/types.ts";

/** One pair of codecs under a budget, over the whole model. */
export interface Candidate extends CodecPair {
  /** Rows that stay, over all layers and heads: at most those of the prompt. */
  readonly rows: number;
  /** What they take with their positions, bytes. */
  readonly bytes: number;
  /** Layers for which this pair is proposed. */
  readonly layers: number;
}

/** What a policy proposes for a prompt. */
export interface Proposal {
  /** The budget as it was given, in rows of 16-bit numbers. */
  readonly budget: string;
  /** What a row costs. */
  readonly counted: Fit["counted"];
  /** From wide to narrow. */
  readonly candidates: ReadonlyArray<Candidate>;
}

/** The first proposal of a policy, or null if it trades nothing.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { uniformShape } from "../cache/uniform.ts";
 * import { parsePolicy } from "../papers/mod.ts";
 * const target = {
 *   shape: uniformShape({ layers: 1, queryHeads: 1, kvHeads: 1, headDim: 128 }),
 *   backend: { name: "any", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
 *   promptTokens: 1000,
 *   chunk: 256,
 *   codec: { _tag: "Plain", dtype: "f16" },
 * } as const;
 * const policy = parsePolicy("snapkv(128)|precision(auto)");
 * const found = E.isRight(policy) ? proposalOf(policy.right, target) : policy;
 * assertEquals(E.isRight(found) && found.right?.candidates.map(({ rows, layers }) => [rows, layers]), [[128, 0], [240, 0], [455, 1]]);
 * ```
 */
export function proposalOf(policy: Policy, target: Target): Either<KvError, Proposal | null> {
  const fit =
    policy.blocks.flatMap((b) => b.verbs).flatMap((v) => v._tag === "Evict" && v.budget._tag === "Fitted" ? [v.budget.fit] : [])[0];
  if (fit === undefined) return E.right(null);
  const { shape, promptTokens } = target;
  const layers = E.sequenceArray(shape.layers.map((_, l) => candidates(fit, l, target, "fit")));
  return E.map((all: typeof layers extends Either<KvError, infer A> ? A : never): Proposal => ({
    budget: showBudget(fit.of),
    counted: fit.counted,
    candidates: fit.pairs.map((pair, i): Candidate => {
      const rows = all.map((of, l) => (shape.layers[l]?.kvHeads ?? 0) * Math.min(promptTokens, of[i]?.rows ?? 0));
      const bytes = rows.map((n, l) => {
        const { keyDim = 0, valueDim = 0 } = shape.layers[l] ?? {};
        return n * (rowBytes(codecOf(pair.keys), keyDim) + rowBytes(codecOf(pair.values), valueDim) + 4);
      });
      const sum = (of: ReadonlyArray<number>): number => of.reduce((a, b) => a + b, 0);
      return { ...pair, rows: sum(rows), bytes: sum(bytes), layers: all.filter((of) => proposed(of, promptTokens) === of[i]).length };
    }),
  }))(layers);
}
