/**
 * A text read into a pruned cache: prefill in chunks, read on, decode token by token, go two ways from one prefix.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { IOEither } from "fp-ts/IOEither.js";
import * as TE from "fp-ts/TaskEither.js";
import { bytesOf } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import type { Codec, KvCache } from "../cache/types.ts";
import { planPolicy } from "../plan/plan.ts";
import type { PolicyPlan, SplicePoint } from "../plan/types.ts";
import type { Policy } from "../policy/types.ts";
import { addPages, dispose, dropRings, fork, narrowRings, openCache, rerotateInPlace, shrink } from "../run/mod.ts";
import { fillReconstructions } from "./fill_reconstructions.ts";
import type { Answer, Answered } from "./answer.ts";
import { endPrefill, type Fed, type Feed, feed } from "./feed.ts";
import { storedAndBack } from "./transform_code.ts";
import type { Model } from "./model.ts";

/** A cache with the model that made it and the logits of its last token. A value: functions that read on or decode consume it
 * (using it again is a StaleHandle) and give the next. */
export interface Session extends Answered {
  /** Always `Session`. */
  readonly _tag: "Session";
  /** The model that reads. */
  readonly model: Model;
  /** What the policy came to for the prompt. */
  readonly plan: PolicyPlan;
  /** All tokens that were read and decoded, those of rows that left too. */
  readonly tokens: ReadonlyArray<number>;
  /** True while scores by reconstruction lie in the cache for the end of the prompt; see {@link rereadPrompt}. */
  readonly reread: boolean;
  /** The rows that are kept. */
  readonly cache: KvCache;
  /** Rows that the last token's queries read, over all layers and KV heads; those that a policy's selection left out were not. */
  readonly rowsRead: number;
  /** Bytes that the cache took while its policy had it stored as coefficients, or null. */
  readonly storedBytes: number | null;
  /** Tokens decoded since prefill: `Every(n)` blocks count them. */
  readonly steps: number;
  /** Most tokens per run of text. */
  readonly chunk: number;
}

/** Options of {@link prefill}. */
export interface PrefillOptions {
  /** Most tokens per run, 1 to 4096; default 256. Under policies that evict after each chunk, peak memory is their bound plus this. */
  readonly chunk?: number;
  /** How rows are stored where the policy does not say; default f16. */
  readonly codec?: "f32" | "f16";
  /** Rows per head to leave room for after prefill (reported as slack); default 16. */
  readonly room?: number;
  /** Aborting ends the prefill between two chunks, with a Left. */
  readonly signal?: AbortSignal;
  /** What is read back of the last token: its logits, or only the id of the largest, 4 bytes; default logits. */
  readonly answer?: Answer;
  /** Called after each chunk with the number of tokens read so far and the cache as it is then. The next chunk consumes that value:
   * look at it (`rowsPerHead`, `bytesOf`) or start a read of it before returning. */
  readonly progress?: (tokens: number, cache: KvCache) => void;
}

/** Reads a prompt into a fresh cache under a policy: chunk by chunk, then the policy's end of prefill, then memory that is much
 * larger than its rows is given back. Left for an empty prompt, ids outside the vocabulary, more tokens than the context, and
 * whatever the plan or the backend refuses; then nothing stays allocated.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { rowsPerHead } from "../cache/mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const session = await orThrow(prefill(model, streamingLlm({ rows: 8 }))(Array.from({ length: 20 }, (_, i) => i)));
 * assertEquals(rowsPerHead(session.cache), [[8, 8], [8, 8]]);
 * ```
 */
export const prefill =
  (model: Model, policy: Policy, options: PrefillOptions = {}): (tokens: ReadonlyArray<number>) => TE.TaskEither<KvError, Session> =>
  (tokens) => pipe(observePrompt(model, policy, options)(tokens), TE.chain((session) => endPrompt(session.plan, options)(session)));

const DEFAULTS = { chunk: 256, codec: "f16", room: 16 } as const;

/** The plan that {@link prefill} follows for a prompt of so many tokens: every knowable error, before anything runs. */
export function planFor(model: Model, policy: Policy, promptTokens: number, options: PrefillOptions = {}): E.Either<KvError, PolicyPlan> {
  const { chunk, codec: dtype } = { ...DEFAULTS, ...options };
  const codec: Codec = { _tag: "Plain", dtype };
  const wrong = checkOptions(options);
  return E.isLeft(wrong) ? wrong : planPolicy(policy, {
    shape: model.spec.shape,
    backend: model.backend,
    promptTokens,
    chunk,
    codec,
    learned: model.learned,
    transforms: model.transforms !== null,
    reconstructs: true,
  });
}

/** The first half of {@link prefill}: the prompt is read and observed, and what the policy does at its end is still to come. Policies
 * that observe the same on the way can be tried on forks of one such session; see {@link endPrompt}. */
export const observePrompt =
  (model: Model, policy: Policy, options: PrefillOptions = {}): (tokens: ReadonlyArray<number>) => TE.TaskEither<KvError, Session> =>
  (tokens) =>
    pipe(
      TE.fromEither(checkTokens(model, tokens, 0)),
      TE.chainEitherK(() => planFor(model, policy, tokens.length, options)),
      TE.chain((plan) => readPrompt(model, plan, tokens, options)),
    );

const readPrompt = (
  model: Model,
  plan: PolicyPlan,
  tokens: ReadonlyArray<number>,
  options: PrefillOptions,
): TE.TaskEither<KvError, Session> => {
  const { chunk, room } = { ...DEFAULTS, ...options };
  return pipe(
    TE.fromIOEither(openCache(model.memory, plan, model.spec.shape, { capacity: tokens.length + room })),
    TE.chain((cache) => readChunks(model, plan, tokens, { ...options, chunk }, cache)),
    TE.map((fed): Session => ({ _tag: "Session", model, plan, tokens, reread: false, ...fed, storedBytes: null, steps: 0, chunk })),
  );
};

/** Options of {@link endPrompt}. */
export interface EndOptions extends Pick<PrefillOptions, "room"> {
  /** False where more text follows and ends like this: the queries that the plan looks at go on being kept; default true. */
  readonly last?: boolean;
}

/** The second half of {@link prefill}: what `plan` does at the end of the prompt, after which it is the session's plan; memory that is much
 * larger than its rows is given back. The plan must observe what the session's own plan observed:
 * the same codecs and columns, and a window of queries that is no longer. The session is consumed, also on Left.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { rowsPerHead } from "../cache/mod.ts";
 * import { keepAll, knorm } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const read = await orThrow(observePrompt(model, keepAll)(Array.from({ length: 20 }, (_, i) => i)));
 * const kept = await Promise.all([4, 8].map(async (rows) => {
 *   const plan = planFor(model, knorm({ rows }), 20);
 *   const pruned = E.isRight(plan) ? await orThrow(endPrompt(plan.right)(await orThrow(forkSession(read)))) : read;
 *   return rowsPerHead(pruned.cache)[0]?.[0];
 * }));
 * assertEquals(kept, [4, 8]);
 * ```
 */
export const endPrompt =
  (plan: PolicyPlan, { room = DEFAULTS.room, last = true }: EndOptions = {}): (session: Session) => TE.TaskEither<KvError, Session> =>
  (session) =>
    pipe(
      rereadPrompt(plan)(session),
      TE.chain(({ cache }) => narrowRings(session.model.memory, plan)(cache)),
      TE.chainEitherK(addPages(session.model.memory, plan)),
      TE.chain(endPrefill(session.model, plan)),
      TE.chainEitherK(last ? dropRings(session.model.memory, plan) : E.right),
      TE.chain((cache) => plan.rerotates ? rerotateInPlace(session.model.memory)(cache) : TE.right(cache)),
      TE.chain((cache) => isLoose(cache) ? shrink(session.model.memory, room)(cache) : TE.right(cache)),
      TE.chain((cache) => storedAndBack(session.model, plan, cache)),
      TE.map(({ cache, storedBytes }): Session => ({ ...session, plan, cache, storedBytes, reread: false })),
    );

/** What {@link endPrompt} does first where the plan scores by reconstruction: the model reads its prompt again, and the scores are kept with
 * the rows. Plans that want the same scores can then be tried on forks of one session that did so. The session is consumed, also on Left. */
export const rereadPrompt = (plan: PolicyPlan): (session: Session) => TE.TaskEither<KvError, Session> => (session) =>
  plan.reconstructions.length === 0 || session.reread ? TE.right(session) : pipe(
    fillReconstructions(session.model, plan, session.tokens)(session.cache),
    TE.map((cache): Session => ({ ...session, cache, reread: true })),
  );

/** More than an eighth of the memory holds no row: what growth leaves is not worth a copy. */
function isLoose(cache: KvCache): boolean {
  const { slack, total } = bytesOf(cache);
  return slack > total / 8;
}

/** All but the last chunk give no logits. */
const readChunks = (
  model: Model,
  plan: PolicyPlan,
  tokens: ReadonlyArray<number>,
  { chunk, signal, progress, answer }: PrefillOptions & { readonly chunk: number },
  start: KvCache,
): TE.TaskEither<KvError, Fed> =>
async () => {
  let fed: Fed = { cache: start, logits: new Float32Array(), likeliest: null, rowsRead: 0 };
  for (let from = 0; from < tokens.length; from += chunk) {
    if (await isAborted(signal)) {
      dispose(model.memory)(fed.cache)();
      return E.left({
        _tag: "Unavailable",
        what: "the prompt's cache",
        because: `prefill was aborted after ${from} of ${tokens.length} tokens`,
      });
    }
    const part = tokens.slice(from, from + chunk);
    const point: Feed["point"] = { _tag: "AfterChunk", m: part.length };
    const logits = from + chunk < tokens.length ? "none" : answer === "token" ? "token" : "last";
    const next = await feed(model, plan, { tokens: part, point, logits })(fed.cache)();
    if (E.isLeft(next)) return next;
    fed = next.right;
    progress?.(from + part.length, fed.cache);
  }
  return E.right(fed);
};

/** Whether to stop. Runs never wait for anything outside, so timers and events that may abort get a turn here. */
export async function isAborted(signal: AbortSignal | undefined): Promise<boolean> {
  if (signal === undefined) return false;
  if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 0));
  return signal.aborted;
}

/** Reads more text, such as a question after its document: chunk by chunk, under what the policy does after each append. The
 * session is consumed, also on Left, unless the tokens themselves are refused. */
export const extend = (
  tokens: ReadonlyArray<number>,
  options: Pick<PrefillOptions, "signal" | "progress" | "answer"> = {},
): (session: Session) => TE.TaskEither<KvError, Session> =>
(session) =>
  pipe(
    TE.fromEither(checkTokens(session.model, tokens, session.cache.nextPosition)),
    TE.chain(() => readChunks(session.model, session.plan, tokens, { ...options, chunk: session.chunk }, session.cache)),
    TE.map((fed): Session => ({ ...session, ...fed, tokens: [...session.tokens, ...tokens], reread: false })),
  );

/** Decodes: one token enters, the policy's steps act, the logits say what follows, or the id of the largest does. The session is consumed, also on
 * Left, unless the token itself is refused. */
export const step = (token: number, answer: Answer = "logits"): (session: Session) => TE.TaskEither<KvError, Session> => (session) => {
  const { model, plan, cache } = session;
  const steps = session.steps + 1;
  return pipe(
    TE.fromEither(checkTokens(model, [token], cache.nextPosition)),
    TE.chain(() => {
      const logits = answer === "token" ? "token" : "last";
      return feed(model, plan, { tokens: [token], point: stepPoint(plan, steps), logits })(cache);
    }),
    TE.map((fed): Session => ({ ...session, ...fed, tokens: [...session.tokens, token], reread: false, steps })),
  );
};

/** The point after decoded token number `steps`, counted from 1. */
export const stepPoint = ({ periods }: PolicyPlan, steps: number): Extract<SplicePoint, { readonly _tag: "AfterStep" }> => ({
  _tag: "AfterStep",
  every: periods.filter((n) => steps % n === 0),
});

/** A second session that goes on from here: the rows are shared, not copied. Both go their own way and are disposed in any order. */
export const forkSession = (session: Session): TE.TaskEither<KvError, Session> =>
  pipe(fork(session.model.memory)(session.cache), TE.map((cache): Session => ({ ...session, cache })));

/** Ends a session; memory that no fork shares is freed. */
export const disposeSession = ({ model, cache }: Session): IOEither<KvError, void> => dispose(model.memory)(cache);

/** Left unless there are tokens, all in the vocabulary, and the context has room for them after `seen` others. */
export function checkTokens(model: Model, tokens: ReadonlyArray<number>, seen: number): E.Either<KvError, void> {
  const { name, shape: { vocab, context } } = model.spec;
  if (tokens.length === 0) {
    return E.left({ _tag: "InvalidArgument", argument: "tokens", value: "no tokens", allowed: "a prompt of at least one token" });
  }
  const bad = tokens.findIndex((t) => !Number.isInteger(t) || t < 0 || t >= vocab);
  if (bad >= 0) {
    return E.left({
      _tag: "InvalidArgument",
      argument: `tokens[${bad}]`,
      value: String(tokens[bad]),
      allowed: `a token id of ${name}, 0 to ${vocab - 1}`,
    });
  }
  const needed = seen + tokens.length;
  return needed <= context
    ? E.right(undefined)
    : E.left({ _tag: "OverLimit", limit: `context of ${name}, tokens`, needed, available: context });
}

function checkOptions(options: PrefillOptions): E.Either<KvError, void> {
  const { chunk, room, codec } = { ...DEFAULTS, ...options };
  const wrong = (argument: string, value: unknown, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument, value: String(value), allowed });
  if (!Number.isSafeInteger(chunk) || chunk < 1 || chunk > 4096) return wrong("chunk", chunk, "a whole number of tokens from 1 to 4096");
  if (!Number.isSafeInteger(room) || room < 0) return wrong("room", room, "a whole number of rows from 0");
  return codec === "f16" || codec === "f32" ? E.right(undefined) : wrong("codec", codec, "f16 or f32");
}
