/**
 * Text from a model under a policy, as an async iterator of steps. Nothing here throws: a failure is the last step, unless it was a lost
 * device and the caller has another model to go on with.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { Policy } from "../policy/types.ts";
import { answerFor, chosen } from "./answer.ts";
import type { Model } from "./model.ts";
import { checkSampling, type Sampling } from "./sample.ts";
import { checkTokens, disposeSession, isAborted, planFor, prefill, type PrefillOptions, type Session, step } from "./session.ts";
import { type CacheState, type DeviceLost, done, failed, nothingHeld, resumed, stateOf, type Step } from "./steps.ts";
import type { Message, Tokenizer } from "./types.ts";

/** How a generation goes on. */
export interface DecodeOptions {
  /** Most tokens to give, from 1; default 128, or what the context has room for. */
  readonly maxNewTokens?: number;
  /** Default greedy. */
  readonly sampling?: Partial<Sampling>;
  /** Ids that end the text; default the model's own. */
  readonly stop?: Iterable<number>;
  /** Ends the generation at the next step, with `Done`. */
  readonly signal?: AbortSignal;
}

/** What is continued. */
export type Prompt =
  /** Plain text, after the beginning-of-text token where the model has one. Never gives control tokens. */
  | { readonly prompt: string; readonly messages?: never; readonly tokens?: never }
  /** A conversation, through the model's own template. */
  | { readonly messages: ReadonlyArray<Message>; readonly prompt?: never; readonly tokens?: never }
  /** Ids as they are. */
  | { readonly tokens: ReadonlyArray<number>; readonly prompt?: never; readonly messages?: never };

/** What to do where a device may go away. */
export interface Recovery {
  /** Gives the same model on another backend, once the device under the first is lost; it stays the caller's to close. The policy is folded
   * over the same tokens again, so the text goes on as it would have. Default: the loss is the end. */
  readonly onDeviceLost?: (lost: DeviceLost) => TE.TaskEither<KvError, Model>;
}

/** Options of {@link generate}. */
export type GenerateOptions = Prompt & DecodeOptions & Omit<PrefillOptions, "signal" | "answer"> & Recovery;

/** Continues a prompt under a policy. Leaving the loop, by `break` too, frees everything the generation held. With `onDeviceLost` a text
 * survives the loss of its device; `examples/survive_device_loss.ts` shows it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { keepAll } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * let text = "";
 * for await (const step of generate(model, keepAll, { prompt: "one fish, two fish, one", maxNewTokens: 5 })) text += step.text;
 * assertEquals(text, " fish");
 * ```
 */
export async function* generate(model: Model, policy: Policy, options: GenerateOptions): AsyncGenerator<Step, void, void> {
  const asked = pipe(
    E.Do,
    E.bindW("tokens", () => promptTokens(model, options)),
    E.chainFirst(({ tokens }) => checkTokens(model, tokens, 0)),
    E.bindW("decoding", ({ tokens }) => checkDecoding(model, options, tokens.length)),
    E.bindW("plan", ({ tokens }) => planFor(model, policy, tokens.length, options)),
  );
  if (E.isLeft(asked)) return yield failed(asked.left, nothingHeld);
  const { tokens, decoding, plan } = asked.right;
  const room = options.room ?? (plan.evictsAt({ _tag: "AfterStep", every: [] }) ? 1 : Math.min(decoding.count, 256));
  const written: Written = { ids: [], utf8: new TextDecoder() };
  for (let on = model;;) {
    const session = await readAgain(on, policy, { ...options, room, answer: answerFor(decoding.sampling) }, tokens, written.ids)();
    const failure = E.isRight(session) ? yield* decode(session.right, decoding, written) : { error: session.left, cache: nothingHeld };
    if (failure === null) return;
    const { error, cache } = failure;
    if (options.signal?.aborted === true) return yield done("aborted", written.ids.length, "", cache);
    if (error._tag !== "DeviceLost" || options.onDeviceLost === undefined) return yield failed(error, cache);
    const other = await pipe(options.onDeviceLost(error), TE.chainEitherK(checkOther(on, error)))();
    if (E.isLeft(other)) return yield failed(other.left, cache);
    on = other.right;
    yield resumed(error, on.backend.name, written.ids.length);
  }
}

/** The prompt, and after it the tokens that were given before: the same fold over the same tokens, wherever it is done. */
const readAgain = (
  model: Model,
  policy: Policy,
  options: PrefillOptions,
  prompt: ReadonlyArray<number>,
  given: ReadonlyArray<number>,
): TE.TaskEither<KvError, Session> =>
  given.reduce((session, id) => pipe(session, TE.chain(step(id, options.answer))), prefill(model, policy, options)(prompt));

/** The model that goes on must be the one that was lost, and not on the backend that lost it. */
const checkOther = (lost: Model, error: DeviceLost) => (other: Model): E.Either<KvError, Model> => {
  if (other.backend === lost.backend) return E.left(error);
  const [expected, actual] = [lost, other].map(({ spec: { name, shape } }) => `${name} with ${shape.vocab} tokens`);
  return expected === actual
    ? E.right(other)
    : E.left({ _tag: "InvalidArgument", argument: "onDeviceLost", value: actual ?? "", allowed: `the same model, ${expected}` });
};

/** Continues a session, which is consumed and disposed at the end of the loop. Fork it first to go on from it again.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { keepAll } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * import { extend, forkSession, prefill } from "./session.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const ids = (text: string) => [...new TextEncoder().encode(text)];
 * const document = await orThrow(prefill(model, keepAll)([256, ...ids("cat: meow; dog: woof; ")]));
 * const answers: string[] = [];
 * for (const question of ["cat:", "dog:"]) {
 *   const asked = await orThrow(extend(ids(question))(await orThrow(forkSession(document))));
 *   let text = "";
 *   for await (const step of continueFrom(asked, { maxNewTokens: 5 })) text += step.text;
 *   answers.push(text);
 * }
 * assertEquals(answers, [" meow", " woof"]);
 * ```
 */
export async function* continueFrom(session: Session, options: DecodeOptions = {}): AsyncGenerator<Step, void, void> {
  const decoding = checkDecoding(session.model, options, session.cache.nextPosition);
  if (E.isLeft(decoding)) {
    disposeSession(session)();
    return yield failed(decoding.left, nothingHeld);
  }
  const failure = yield* decode(session, decoding.right, { ids: [], utf8: new TextDecoder() });
  if (failure !== null) yield failed(failure.error, failure.cache);
}

/** Checked options of a decoding loop. */
interface Decoding {
  readonly count: number;
  readonly sampling: Sampling;
  readonly stop: ReadonlySet<number>;
  readonly tokenizer: Tokenizer;
  readonly signal: AbortSignal | undefined;
}

/** What a text has come to: it outlives the model that writes it. */
interface Written {
  readonly ids: number[];
  readonly utf8: TextDecoder;
}

/** Why a text broke off. */
interface Failure {
  readonly error: KvError;
  readonly cache: CacheState;
}

async function* decode(start: Session, decoding: Decoding, { ids, utf8 }: Written): AsyncGenerator<Step, Failure | null, void> {
  const { count, sampling, stop, tokenizer, signal } = decoding;
  let session = start;
  let held = true;
  try {
    for (let index = ids.length;; index++) {
      const reason = await isAborted(signal) ? "aborted" : index === count ? "length" : null;
      const cache = stateOf(session.cache);
      if (reason !== null) {
        yield done(reason, index, utf8.decode(), cache);
        return null;
      }
      const id = chosen(sampling, index)(session);
      if (E.isLeft(id)) return { error: id.left, cache };
      if (stop.has(id.right)) {
        yield done("stop", index, utf8.decode(), cache);
        return null;
      }
      const bytes = tokenizer.bytesOf(id.right);
      ids.push(id.right);
      yield { _tag: "Token", id: id.right, index, bytes, text: utf8.decode(bytes, { stream: true }), cache };
      if (index + 1 === count) continue;
      const next = await step(id.right, answerFor(sampling))(session)();
      held = E.isRight(next);
      if (E.isLeft(next)) return { error: next.left, cache: nothingHeld };
      session = next.right;
    }
  } finally {
    if (held) disposeSession(session)();
  }
}

/** The ids a prompt stands for. */
export function promptTokens(model: Model, asked: Prompt): E.Either<KvError, ReadonlyArray<number>> {
  const { prompt, messages, tokens } = asked;
  if (tokens !== undefined) return E.right(tokens);
  return pipe(
    model.tokenizer(),
    E.chain((tokenizer) => {
      if (messages !== undefined) return tokenizer.chat(messages);
      const ids = tokenizer.encode(prompt);
      return ids.length === 0
        ? E.left({ _tag: "InvalidArgument", argument: "prompt", value: prompt, allowed: "a text of at least one token" })
        : E.right(tokenizer.bos === null ? ids : [tokenizer.bos, ...ids]);
    }),
  );
}

function checkDecoding(model: Model, options: DecodeOptions, seen: number): E.Either<KvError, Decoding> {
  const { name, shape: { context } } = model.spec;
  const count = options.maxNewTokens ?? Math.max(1, Math.min(128, context - seen));
  if (!Number.isSafeInteger(count) || count < 1) {
    return E.left({ _tag: "InvalidArgument", argument: "maxNewTokens", value: String(count), allowed: "a whole number of tokens from 1" });
  }
  const needed = seen + count;
  if (needed > context) {
    return E.left({ _tag: "OverLimit", limit: `context of ${name} (prompt and new tokens)`, needed, available: context });
  }
  return pipe(
    E.Do,
    E.bindW("tokenizer", model.tokenizer),
    E.bindW("sampling", () => checkSampling(options.sampling)),
    E.map(({ tokenizer, sampling }): Decoding => ({
      count,
      sampling,
      stop: new Set(options.stop ?? tokenizer.stop),
      tokenizer,
      signal: options.signal,
    })),
  );
}
