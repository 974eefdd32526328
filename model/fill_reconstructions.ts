/**
 * Columns by reconstruction: what a plan wants to know of its prompt by reading it again, written into the cache before the end of the prompt.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { KvCache } from "../cache/types.ts";
import type { PolicyPlan, Reconstruction } from "../plan/types.ts";
import { dispose, reserve } from "../run/mod.ts";
import { tailOf } from "../run/resize.ts";
import { bytesIn } from "../run/scratch.ts";
import { chatParts, prefixLength } from "./chat_parts.ts";
import type { Model } from "./model.ts";
import { reconstruct, type RowScores } from "./reconstruct.ts";

/** Fills the plan's columns of a cache that holds every row of `tokens`, in memory of its own. The cache is consumed, also on Left. */
export const fillReconstructions =
  (model: Model, plan: PolicyPlan, tokens: ReadonlyArray<number>) => (cache: KvCache): TE.TaskEither<KvError, KvCache> => async () => {
    const held = await reserve(model.memory, plan, { _tag: "PrefillEnd" }, 0)(cache)();
    if (E.isLeft(held)) return held;
    for (const wanted of plan.reconstructions) {
      const done = await fillOne(model, plan, tokens, wanted, held.right)();
      if (E.isRight(done)) continue;
      dispose(model.memory)(held.right)();
      return done;
    }
    return held;
  };

const fillOne = (
  model: Model,
  plan: PolicyPlan,
  tokens: ReadonlyArray<number>,
  { column, score, layers }: Reconstruction,
  cache: KvCache,
): TE.TaskEither<KvError, void> =>
  pipe(
    TE.fromEither(model.tokenizer()),
    TE.chain((tokenizer) => {
      const parts = chatParts(tokenizer);
      const prefix = Math.min(prefixLength(parts, tokenizer.bos, tokens), tokens.length);
      return pipe(
        reconstruct({ model, plan, cache }, { ...score, parts, prefix })(tokens),
        TE.map((scores) => scores.map((layer) => layer === null ? null : columnOf(layer, tokens.length, prefix, score.per))),
      );
    }),
    TE.chainEitherK((columns) => writeColumns(model, column, layers, cache, columns)),
  );

/** What is written for the rows of a layer, f32 [kvHeads, tokens]: the prefix cannot leave, and a head's rows share its best where it stands
 * as a whole. */
export function columnOf(scores: Float32Array, tokens: number, prefix: number, per: "row" | "head"): Float32Array {
  const out = Float32Array.from(scores);
  for (let from = 0; from < out.length; from += tokens) {
    const head = out.subarray(from, from + tokens);
    // NaN stays NaN: such rows leave first, and so does a head of them.
    if (per === "head") head.fill(head.subarray(prefix).reduce((a, b) => Math.max(a, b), 0));
    head.fill(Infinity, 0, prefix);
  }
  return out;
}

function writeColumns(
  { backend }: Model,
  column: string,
  layers: ReadonlyArray<number>,
  cache: KvCache,
  columns: RowScores,
): E.Either<KvError, void> {
  for (const l of layers) {
    const [layer, scores] = [cache.layers[l], columns[l]];
    const tail = layer?._tag === "Own" ? tailOf(layer) : null;
    const buffer = tail?.storage.columns[column];
    if (tail === null || buffer === undefined || scores === undefined || scores === null) continue;
    let from = 0;
    for (const { start, length } of tail.segments) {
      const wrote = backend.write(buffer, 4 * start, bytesIn(scores.slice(from, from + length)))();
      if (E.isLeft(wrote)) return wrote;
      from += length;
    }
  }
  return E.right(undefined);
}
