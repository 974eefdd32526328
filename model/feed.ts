/**
 * One run over a cache: tokens in, logits out, the next cache value. Everything a run needs beside cache and weights is
 * allocated for it and freed after it, so between runs the backend holds what cache values hold, and nothing else.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Backend, Binding, Prepared } from "../backends/backend.ts";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer, KvCache, Tier } from "../cache/types.ts";
import { ownLayers, slotsOf, storeTier } from "../cache/view.ts";
import type { PolicyPlan, SplicePoint } from "../plan/types.ts";
import { jointScratch } from "../run/joint.ts";
import { classScratch } from "../run/slots.ts";
import { advance, bindings, dispose, reserve, settle, stage } from "../run/mod.ts";
import { countReads, readsBindings, readsScratch } from "../run/reads.ts";
import { bytesIn, type Scratch, tableScratch, wholly, withScratch } from "../run/scratch.ts";
import { type Forward, forward, type LogitRows, prefillEnd } from "./forward.ts";
import type { Answered } from "./answer.ts";
import type { Model } from "./model.ts";
import { prepared } from "./programs.ts";
import { ropeTable } from "../cache/rope.ts";
import { tokenClasses } from "./token_class.ts";

/** Tokens of one run, and what is wanted of it. */
export interface Feed {
  readonly tokens: ReadonlyArray<number>;
  readonly point: Forward["point"];
  readonly logits: LogitRows;
  /** Memory that the plan's ops name beyond the cache's. */
  readonly extra?: Readonly<Record<string, Binding>>;
}

/** What a run gives: f32 [rows, vocab] or a token, how many rows a query of its tokens read over all layers and KV heads, and the cache
 * after it. */
export interface Fed extends Answered {
  readonly cache: KvCache;
  readonly rowsRead: number;
}

/** A run's part of that. */
type Ran = Omit<Fed, "cache">;

/** Runs tokens through the model: their rows enter the cache at the next positions, then the policy acts. The cache is consumed,
 * also on Left. Tokens must be checked ids. */
export const feed =
  (model: Model, plan: PolicyPlan, { tokens, point, logits, extra = {} }: Feed) => (cache: KvCache): TE.TaskEither<KvError, Fed> =>
    around(model, plan, point, tokens.length, cache, (held) => {
      const m = tokens.length;
      const build = () => forward({ spec: model.spec, plan, cache: held, point, m, logits });
      return pipe(
        prepared(model.programs, programKey(plan, held, `${pointKey(point)} ${m} ${logits}`), build),
        TE.chain((program) =>
          pipe(
            TE.fromEither(classesOf(model, plan, tokens)),
            TE.chain((classes) => {
              const scratch = [...inputs(model, held.nextPosition, tokens, logits), ...classes];
              return execute(model, program, { plan, point, m, cache: held }, scratch, extra);
            }),
          )
        ),
      );
    });

/** Classes of the tokens for every number of heads, where the policy observes them. */
const classesOf = (model: Model, plan: PolicyPlan, tokens: ReadonlyArray<number>): E.Either<KvError, ReadonlyArray<Scratch>> =>
  !plan.ports.has("tokenClass") ? E.right([]) : pipe(
    model.tokenizer(),
    E.map((tokenizer) => classScratch(model.spec.shape.layers, tokenClasses(tokenizer, tokens))),
  );

/** Runs the policy's ops at the end of prefill, if it has any. The cache is consumed, also on Left. */
export const endPrefill = (model: Model, plan: PolicyPlan) => (cache: KvCache): TE.TaskEither<KvError, KvCache> => {
  const point: SplicePoint = { _tag: "PrefillEnd" };
  if (!plan.rewritesAt(point)) return TE.right(cache);
  const newest: Scratch = { label: "newest", content: bytesIn(Uint32Array.of(Math.max(0, cache.nextPosition - 1))) };
  return pipe(
    around(model, plan, point, 0, cache, (held) =>
      pipe(
        prepared(model.programs, programKey(plan, held, point._tag), () => prefillEnd({ spec: model.spec, plan, cache: held })),
        TE.chain((program) =>
          execute(model, program, { plan, point, m: 0, cache: held }, [newest, ...jointScratch(plan, point, held)], {})
        ),
      )),
    TE.map((fed) => fed.cache),
  );
};

/** Makes room, runs, and takes stock of what the policy left; on Left the cache is gone and its memory free. */
const around = (
  { memory }: Model,
  plan: PolicyPlan,
  point: SplicePoint,
  m: number,
  cache: KvCache,
  run: (held: KvCache) => TE.TaskEither<KvError, Ran>,
): TE.TaskEither<KvError, Fed> =>
async () => {
  const held = await reserve(memory, plan, point, m)(cache)();
  if (E.isLeft(held)) return held;
  const ran = await run(held.right)();
  if (E.isLeft(ran)) {
    dispose(memory)(held.right)();
    return ran;
  }
  return await pipe(
    TE.fromIOEither(advance(memory, m, plan.evictsAt(point))(held.right)),
    TE.chain((next) => orDispose(memory, next, settle(memory)(next))),
    TE.map((next) => ({ ...ran.right, cache: next })),
  )();
};

/** Frees a value whose next step failed before it was consumed. */
const orDispose = (memory: Model["memory"], cache: KvCache, next: TE.TaskEither<KvError, KvCache>): TE.TaskEither<KvError, KvCache> =>
  pipe(
    next,
    TE.mapLeft((error) => {
      dispose(memory)(cache)();
      return error;
    }),
  );

/** What a program runs over. */
interface Over {
  readonly plan: PolicyPlan;
  readonly point: SplicePoint;
  readonly m: number;
  readonly cache: KvCache;
}

/** Stages, runs, and reads the logits or the token where the inputs have room for some, and how many rows were read. */
const execute = (
  { memory, backend }: Model,
  program: Prepared,
  { plan, point, m, cache }: Over,
  scratch: ReadonlyArray<Scratch>,
  extra: Readonly<Record<string, Binding>>,
): TE.TaskEither<KvError, Ran> =>
  withScratch(memory, [...scratch, ...tableScratch(plan), ...readsScratch(memory, plan, point, cache)], (buffers) => {
    const own = { ...wholly(buffers), ...readsBindings(memory, plan, point, cache, buffers) };
    return pipe(
      TE.fromIOEither(stage(memory)(cache)),
      TE.chainIOEitherK(() => backend.run(program, { ...bindings(cache), ...extra, ...own })),
      TE.chain(() => readAnswer(backend, scratch, buffers)),
      TE.chain((answered) =>
        pipe(countReads(memory, plan, point, cache, m)(buffers), TE.map((rowsRead): Ran => ({ ...answered, rowsRead })))
      ),
    );
  });

/** The logits or the token, where the inputs have room for some. */
function readAnswer(
  backend: Backend,
  scratch: ReadonlyArray<Scratch>,
  buffers: Readonly<Record<string, Buffer>>,
): TE.TaskEither<KvError, Answered> {
  const wanted = scratch.find(({ label }) => label === "logits" || label === "token");
  const buffer = buffers[wanted?.label ?? ""];
  if (buffer === undefined || typeof wanted?.content !== "number") return TE.right({ logits: new Float32Array(), likeliest: null });
  return pipe(
    backend.read(buffer, 0, wanted.content),
    TE.map((bytes): Answered =>
      wanted.label === "logits"
        ? { logits: new Float32Array(bytes.slice().buffer), likeliest: null }
        : { logits: new Float32Array(), likeliest: new Uint32Array(bytes.slice().buffer)[0] ?? null }
    ),
  );
}

function inputs(model: Model, from: number, tokens: ReadonlyArray<number>, logits: LogitRows): ReadonlyArray<Scratch> {
  const m = tokens.length;
  return [
    { label: "ids", content: bytesIn(Uint32Array.from(tokens)) },
    { label: "positions", content: bytesIn(Uint32Array.from(tokens, (_, i) => from + i)) },
    { label: "newest", content: bytesIn(Uint32Array.of(from + m - 1)) },
    ...model.ropes.map((rope, i): Scratch => ({ label: `rope.${i}`, content: bytesIn(ropeTable(rope, from, m)) })),
    ...answerScratch(logits, m, model.spec.shape.vocab),
  ];
}

/** Room for what a run gives. */
function answerScratch(wanted: LogitRows, m: number, vocab: number): ReadonlyArray<Scratch> {
  if (wanted === "none") return [];
  return wanted === "token" ? [{ label: "token", content: 4 }] : [{ label: "logits", content: (wanted === "all" ? m : 1) * vocab * 4 }];
}

/** What a program depends on beside the model: the plan's ops, and how the cache's memory is cut. */
function programKey({ describe, layers }: PolicyPlan, cache: KvCache, run: string): string {
  const codecs = (tier: Tier): string => `${codecName(tier.keyCodec)} ${codecName(tier.valueCodec)}`;
  const memory = ownLayers(cache).map(({ own, index }) => {
    const { tiers, recent } = own;
    // Rows of a store that are judged need room beside those of the tail.
    const store = layers[index]?.store?.judged === true ? slotsOf(storeTier(own)?.segments ?? []) : 0;
    const tail = slotsOf(tiers[tiers.length - 1]?.segments ?? []);
    return `${tiers.length > 1 ? tiers.map(codecs).join() : ""}:${tail}+${store} ${recent?.window ?? ""}`;
  });
  // The first line of a description says what the plan was made for; the rest is what it does.
  return `${run} ${memory.join(" ")}${describe.slice(describe.indexOf("\n"))}`;
}

const pointKey = (point: Forward["point"]): string => point._tag === "AfterStep" ? `step ${point.every.join()}` : "chunk";
