/**
 * One prompt's training pairs: hidden states at sampled positions, and the KVzip+ score each of the layer's heads gives there.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { KvCache } from "../cache/types.ts";
import { randomOf } from "../conformance/random.ts";
import type { ChatParts } from "../model/chat_parts.ts";
import { feed } from "../model/feed.ts";
import type { Model } from "../model/model.ts";
import { reconstruct } from "../model/reconstruct.ts";
import { quietPlan } from "../model/reconstruct_plan.ts";
import { type TensorToWrite, writeSafetensors } from "../model/safetensors.ts";
import { planFor } from "../model/session.ts";
import { keepAll } from "../papers/mod.ts";
import { bound, emit } from "../plan/draft.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { dispose, openCache } from "../run/mod.ts";
import { readNumbers, wholly, withScratch } from "../run/scratch.ts";
import { shuffled, type TrainingPrompt } from "./prompts.ts";

/** What is the same for all prompts. */
export interface Collecting {
  readonly parts: ChatParts;
  /** What `outputGrams` gave. */
  readonly grams: ReadonlyArray<Float32Array>;
  /** Positions per prompt. */
  readonly samples: number;
  readonly seed: number;
}

/** Tokens per run. */
const RUN = 256;

/** A shard: `hidden.{l}` f16 [samples, hidden] and `target.{l}` f32 [samples, kvHeads] (KVzip+ under training denominators, no logarithm)
 * at `positions` f32 [samples] of the prompt, the same for all layers. Left: what the model's forward pass gives, and `Unsupported` where
 * it computes a number that cannot be learned from. */
export const collect =
  (model: Model, { parts, grams, samples, seed }: Collecting) =>
  ({ id, tokens }: TrainingPrompt): TE.TaskEither<KvError, Uint8Array<ArrayBuffer>> => {
    const prefix = parts.prefix.length;
    const all = [...parts.prefix, ...tokens];
    const picked = shuffled(randomOf(`positions of ${id}`, seed), tokens.map((_, i) => i)).slice(0, samples).toSorted((a, b) => a - b);
    return pipe(
      TE.fromEither(planFor(model, keepAll, all.length, { chunk: RUN })),
      TE.chain((plan) =>
        pipe(
          readTapped(model, plan, all, picked.map((i) => prefix + i)),
          TE.chain(({ cache, hidden }) =>
            pipe(
              reconstruct({ model, plan, cache }, { plus: true, denominators: "training", parts, prefix, grams })(all),
              TE.chainFirst(() => TE.fromIOEither(dispose(model.memory)(cache))),
              TE.chainEitherK((scores) =>
                checked(
                  model,
                  id,
                  tensorsOf(
                    model,
                    picked,
                    hidden,
                    scores.map((s) => s === null ? null : sampled(s, all.length, prefix, picked)),
                  ),
                )
              ),
              TE.chainEitherK((tensors) => writeSafetensors(tensors, new Map([["prompt", id], ["tokens", String(tokens.length)]]))),
            )
          ),
        )
      ),
    );
  };

/** Largest number of f16, in which hidden states are stored. */
const F16_MAX = 65504;

/** Left at the first number that is not finite, too large for its type, or a score below zero. */
function checked(
  model: Model,
  prompt: string,
  tensors: ReadonlyArray<TensorToWrite>,
): E.Either<KvError, ReadonlyArray<TensorToWrite>> {
  const unsound = ({ name, type, numbers }: TensorToWrite): number | undefined =>
    numbers.find((x) => !(Math.abs(x) <= (type === "F16" ? F16_MAX : Number.MAX_VALUE)) || (x < 0 && name.startsWith("target.")));
  const bad = tensors.find((tensor) => unsound(tensor) !== undefined);
  return bad === undefined ? E.right(tensors) : E.left({
    _tag: "Unsupported",
    what: `training on ${model.spec.name}`,
    where: `prompt ${prompt}`,
    because: `the model computes ${unsound(bad)} as ${bad.name}`,
  });
}

/** f32 [samples, heads] out of [heads, rows]. */
function sampled(scores: Float32Array, rows: number, prefix: number, positions: ReadonlyArray<number>): Float32Array {
  const heads = scores.length / rows;
  const out = new Float32Array(positions.length * heads);
  positions.forEach((p, i) => {
    for (let h = 0; h < heads; h++) out[i * heads + h] = scores[h * rows + prefix + p] ?? 0;
  });
  return out;
}

const tensorsOf = (
  model: Model,
  positions: ReadonlyArray<number>,
  hidden: ReadonlyArray<Float32Array>,
  targets: ReadonlyArray<Float32Array | null>,
): ReadonlyArray<TensorToWrite> => [
  { name: "positions", type: "F32", shape: [positions.length], numbers: Float32Array.from(positions) },
  ...targets.flatMap((numbers, l): ReadonlyArray<TensorToWrite> =>
    numbers === null ? [] : [
      {
        name: `hidden.${l}`,
        type: "F16",
        shape: [positions.length, model.spec.shape.hidden],
        numbers: hidden[l] ?? new Float32Array(),
      },
      { name: `target.${l}`, type: "F32", shape: [positions.length, numbers.length / positions.length], numbers },
    ]
  ),
];

/** A cache of all tokens, and per layer f32 [positions, hidden]: what entered the attention block at these positions. */
const readTapped = (
  model: Model,
  plan: PolicyPlan,
  tokens: ReadonlyArray<number>,
  positions: ReadonlyArray<number>,
): TE.TaskEither<KvError, { readonly cache: KvCache; readonly hidden: ReadonlyArray<Float32Array> }> => {
  const { layers, hidden: width } = model.spec.shape;
  const wanted = layers.map((_, l) => ({ label: `tap.${l}`, content: RUN * width * 4 }));
  const taps = tapPlan(plan, width);
  const out = layers.map(() => new Float32Array(positions.length * width));
  return withScratch(model.memory, wanted, (buffers) => async () => {
    const opened = openCache(model.memory, plan, model.spec.shape, { capacity: tokens.length })();
    if (E.isLeft(opened)) return opened;
    let cache = opened.right;
    for (let from = 0; from < tokens.length; from += RUN) {
      const part = tokens.slice(from, from + RUN);
      const m = part.length;
      const fed = await feed(model, taps, { tokens: part, point: { _tag: "AfterChunk", m }, logits: "none", extra: wholly(buffers) })(
        cache,
      )();
      if (E.isLeft(fed)) return fed;
      cache = fed.right.cache;
      for (const l of layers.keys()) {
        const buffer = buffers[`tap.${l}`];
        const rows = buffer === undefined ? E.right(new Float32Array()) : await readNumbers(model.memory, buffer, m * width)();
        if (E.isLeft(rows)) return rows;
        positions.forEach((p, i) => {
          if (p >= from && p < from + m) out[l]?.set(rows.right.subarray((p - from) * width, (p - from + 1) * width), i * width);
        });
      }
    }
    return E.right({ cache, hidden: out });
  });
};

/** Copies every layer's hidden states of a run to `tap.{l}`. */
const tapPlan = (plan: PolicyPlan, width: number): PolicyPlan => ({
  ...quietPlan(plan),
  splice: (point, l, slots) => (draft) => {
    if (point._tag !== "AfterChunk") return draft;
    const [out, next] = bound(`tap.${l}`)(draft);
    return emit({ op: "slice", args: [slots.hidden, out], params: { from: 0, rows: point.m, width } })(next);
  },
  describe: `taps\n${plan.describe} hidden states`,
});
