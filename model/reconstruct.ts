/**
 * KVzip's scores: how much attention each row of a context gets at most while the model repeats the context.
 *
 * Sources: KVzip, arXiv 2505.23416, section 3 (one chunk after the other is repeated on top of the whole cache); KVzip+ and the
 * `training` denominators, arXiv 2601.07891, section 2. Departures: the parts of the repeat input are tokenised one by one, so that
 * their places are exact; where the context leaves no room for a chunk of 2,000 tokens and its repetition, chunks are smaller.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Binding } from "../backends/backend.ts";
import type { Buffer, KvCache, Segment } from "../cache/types.ts";
import { layoutBytes, type OwnLayer, ownLayers, slotsOf } from "../cache/view.ts";
import { emit, emptyDraft, finish } from "../plan/draft.ts";
import type { Draft, PolicyPlan } from "../plan/types.ts";
import { encodeLayouts } from "../run/copy.ts";
import { bindings, dispose, fork, stage } from "../run/mod.ts";
import { bytesIn, readNumbers, runOnce, type Scratch, wholly, withScratch } from "../run/scratch.ts";
import { slotsFor } from "../run/slots.ts";
import type { ChatParts } from "./chat_parts.ts";
import { feed } from "./feed.ts";
import { outputGrams } from "./gram.ts";
import type { Model } from "./model.ts";
import { quietPlan, reconstructionPlan, type Scoring } from "./reconstruct_plan.ts";
import { type Pass, passesOf } from "./repeat.ts";

/** Options of {@link reconstruct}. */
export interface ReconstructOptions extends Scoring {
  /** Template around the repetition. */
  readonly parts: ChatParts;
  /** Tokens before the context (a template's): never scored, always seen. */
  readonly prefix: number;
  /** Most tokens per chunk of the context; default 2000. */
  readonly chunk?: number;
  /** What {@link outputGrams} gave for this model; computed (about a second) where it is needed and not given. */
  readonly grams?: ReadonlyArray<Float32Array>;
  /** Told how many of the tokens to be read are read. */
  readonly progress?: (done: number, total: number) => void;
}

/** Per layer f32 [kvHeads, tokens], 0 for the prefix; null for layers that read another's rows. */
export type RowScores = ReadonlyArray<Float32Array | null>;

/** A whole cache (one row per token and head) with the plan it was read under. */
export interface Whole {
  /** The model that read it. */
  readonly model: Model;
  /** The plan it was read under. */
  readonly plan: PolicyPlan;
  /** One row per token and head. */
  readonly cache: KvCache;
}

/** Tokens per run of the repetition. */
const RUN = 256;

/** Scores every row of a cache that holds all of `tokens`. The cache is untouched. Left: `Unsupported` where rows are missing or stored
 * in more than one tier, `OverLimit` where the context of the model has no room for a repetition.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { keepAll } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * import { observePrompt } from "./session.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const tokens = [256, 7, 8, 9];
 * const session = await orThrow(observePrompt(model, keepAll)(tokens));
 * const options = { plus: false, denominators: "training", parts: { prefix: [], suffix: [10] }, prefix: 1 } as const;
 * const scores = await orThrow(reconstruct(session, options)(tokens));
 * assertEquals(scores.map((layer) => layer?.length), [8, 8]); // two KV heads, four rows each
 * ```
 */
export const reconstruct =
  (whole: Whole, options: ReconstructOptions): (tokens: ReadonlyArray<number>) => TE.TaskEither<KvError, RowScores> => (tokens) => {
    const { model, cache } = whole;
    const grams: TE.TaskEither<KvError, ReadonlyArray<Float32Array>> = !options.plus
      ? TE.right([])
      : options.grams === undefined
      ? outputGrams(model)
      : TE.right(options.grams);
    return pipe(
      TE.fromEither(checkWhole(cache, tokens.length)),
      TE.chainEitherK(() => model.tokenizer()),
      TE.chainEitherK((tokenizer) => passesOf(tokenizer, model.spec.shape.context, tokens, options)),
      TE.chain((passes) => pipe(grams, TE.chain((all) => scoreWith(whole, options, passes, all)))),
    );
  };

const scoreWith = (
  whole: Whole,
  options: ReconstructOptions,
  passes: ReadonlyArray<Pass>,
  grams: ReadonlyArray<Float32Array>,
): TE.TaskEither<KvError, RowScores> => {
  const { model, cache } = whole;
  const wanted = [...ownLayers(cache).flatMap(scoreBuffers(grams)), layoutOf("reconstruct.run", 1)];
  return withScratch(model.memory, wanted, (buffers) =>
    pipe(
      grams.length === 0 ? TE.right(undefined) : fillGains(whole, wholly(buffers)),
      TE.chain(() => runPasses(whole, options, passes, buffers)),
      TE.chain(() => TE.traverseSeqArrayWithIndex((l) => readScores(model, cache, l, buffers[`reconstruct.${l}.score`]))(cache.layers)),
    ));
};

/** Memory of one layer: the scores, the two cuts of the context, and for KVzip+ what values write. */
const scoreBuffers =
  (grams: ReadonlyArray<Float32Array>) => ({ index, own }: { readonly index: number; readonly own: OwnLayer }): ReadonlyArray<Scratch> => {
    const name = (part: string): string => `reconstruct.${index}.${part}`;
    const [slots, group] = [slotsOf(own.tiers[0]?.segments ?? []), own.shape.queryHeads / own.shape.kvHeads];
    const gram = grams[index];
    return [
      { label: name("score"), content: slots * 4 },
      layoutOf(name("sinks"), own.shape.kvHeads),
      layoutOf(name("chunk"), own.shape.kvHeads),
      ...(gram === undefined ? [] : [{ label: name("gain"), content: slots * group * 4 }, { label: name("gram"), content: bytesIn(gram) }]),
    ];
  };

const layoutOf = (label: string, heads: number): Scratch => ({ label, content: layoutBytes(heads) });

/** gain[slot, g] = norm of what the slot's value writes through query head g of its group. */
const fillGains = ({ model: { memory }, cache }: Whole, extra: Readonly<Record<string, Binding>>): TE.TaskEither<KvError, void> => {
  const program = finish("what values write")(
    ownLayers(cache).reduce((draft: Draft, { index, own: { shape, tiers } }) => {
      const names = [`L${index}.values`, `reconstruct.${index}.gram`, `L${index}.layout`, `reconstruct.${index}.gain`];
      const [args, next] = slotsFor(names)(draft);
      const params = {
        heads: shape.queryHeads,
        kvHeads: shape.kvHeads,
        dim: shape.valueDim,
        codec: tiers[0] === undefined ? "f32" : codecName(tiers[0].valueCodec),
      };
      return emit({ op: "projectedNorm", args, params })(next);
    }, emptyDraft),
  );
  return pipe(TE.fromIOEither(stage(memory)(cache)), TE.chain(() => runOnce(memory, program, { ...bindings(cache), ...extra })));
};

/** Every pass on a fork of its own, so that none sees the repetition of another. */
const runPasses = (
  whole: Whole,
  options: ReconstructOptions,
  passes: ReadonlyArray<Pass>,
  buffers: Readonly<Record<string, Buffer>>,
): TE.TaskEither<KvError, void> =>
async () => {
  const { model: { memory, backend }, cache } = whole;
  const total = passes.reduce((sum, pass) => sum + pass.silent.length + pass.scored.length, 0);
  let done = 0;
  for (const pass of passes) {
    for (const { index, own } of ownLayers(cache)) {
      const cut = (part: string, from: number, to: number): E.Either<KvError, void> => {
        const buffer = buffers[`reconstruct.${index}.${part}`];
        const segments = (own.tiers[0]?.segments ?? []).map((s): Segment => ({
          start: s.start + from,
          length: to - from,
          capacity: to - from,
        }));
        return buffer === undefined
          ? E.right(undefined)
          : backend.write(buffer, 0, encodeLayouts([segments], layoutBytes(segments.length)))();
      };
      const wrote = E.chain(() => cut("chunk", pass.from, pass.to))(cut("sinks", 0, pass.sinks));
      if (E.isLeft(wrote)) return wrote;
    }
    const forked = await fork(memory)(cache)();
    if (E.isLeft(forked)) return forked;
    const ran = await runPass(whole, options, pass, forked.right, buffers, (tokens) => options.progress?.(done + tokens, total))();
    if (E.isLeft(ran)) return ran;
    const freed = dispose(memory)(ran.right)();
    if (E.isLeft(freed)) return freed;
    done += pass.silent.length + pass.scored.length;
  }
  return E.right(undefined);
};

/** Reads the silent tokens, then the scored ones, chunk by chunk. The fork is consumed. */
const runPass = (
  { model, plan }: Whole,
  scoring: Scoring,
  { silent, scored }: Pass,
  start: KvCache,
  buffers: Readonly<Record<string, Buffer>>,
  progress: (tokens: number) => void,
): TE.TaskEither<KvError, KvCache> =>
async () => {
  const quiet = quietPlan(plan);
  let cache = start;
  let done = 0;
  for (const [tokens, counts] of [[silent, false], [scored, true]] as const) {
    for (let from = 0; from < tokens.length; from += RUN) {
      const part = tokens.slice(from, from + RUN);
      const m = part.length;
      const run = buffers["reconstruct.run"];
      const wrote = run === undefined ? E.right(undefined) : model.backend.write(run, 0, bytesIn(Uint32Array.of(0, m, m)))();
      if (E.isLeft(wrote)) return wrote;
      const next = await feed(model, counts ? reconstructionPlan(quiet, cache, model.spec.shape.hidden, scoring) : quiet, {
        tokens: part,
        point: { _tag: "AfterChunk", m },
        logits: "none",
        extra: wholly(buffers),
      })(cache)();
      if (E.isLeft(next)) return next;
      cache = next.right.cache;
      progress(done += m);
    }
  }
  return E.right(cache);
};

/** One layer's scores, head by head, from the slots of its rows. */
const readScores = (model: Model, cache: KvCache, l: number, buffer: Buffer | undefined): TE.TaskEither<KvError, Float32Array | null> => {
  const layer = cache.layers[l];
  if (layer?._tag !== "Own" || buffer === undefined) return TE.right(null);
  const segments = layer.tiers[0]?.segments ?? [];
  return pipe(
    readNumbers(model.memory, buffer, slotsOf(segments)),
    TE.map((slots) => {
      const out = new Float32Array(segments.reduce((sum, s) => sum + s.length, 0));
      let end = 0;
      for (const { start, length } of segments) {
        out.set(slots.subarray(start, start + length), end);
        end += length;
      }
      return out;
    }),
  );
};

function checkWhole(cache: KvCache, tokens: number): E.Either<KvError, void> {
  const whole = ownLayers(cache).every(({ own: { tiers } }) =>
    tiers.length === 1 && tiers.every((t) => t.segments.every((s) => s.length === tokens))
  );
  return whole && cache.nextPosition === tokens ? E.right(undefined) : E.left({
    _tag: "Unsupported",
    what: "a reconstruction score",
    where: "this cache",
    because: "it needs every row of the context, in one tier",
  });
}
