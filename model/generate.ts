/**
 * Text from a model under a policy, as an async iterator of steps. Nothing here throws: a failure is the last step.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { bytesOf, rowsKept } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import type { KvCache } from "../cache/types.ts";
import type { Policy } from "../policy/types.ts";
import type { Model } from "./model.ts";
import { checkSampling, sample, type Sampling } from "./sample.ts";
import { checkTokens, disposeSession, isAborted, planFor, prefill, type PrefillOptions, type Session, step } from "./session.ts";
import type { Message, Tokenizer } from "./types.ts";

/** The cache at a step. */
export interface CacheState {
  /** What the backend holds for it, slack included. */
  readonly bytes: number;
  /** Rows kept, over all layers and heads. */
  readonly rows: number;
}

/** One step of a generation. `bytes` is what it adds to the text (none but for tokens), so a caller can write it unseen. */
export type Step =
  /** A token. `bytes` may end inside a character; `text` holds what became complete. `index` counts from 0. */
  | {
    readonly _tag: "Token";
    readonly id: number;
    readonly index: number;
    readonly bytes: Uint8Array;
    readonly text: string;
    readonly cache: CacheState;
  }
  /** The end: a stop token came, `maxNewTokens` were given, or the signal aborted. `text` is what was left of an incomplete character. */
  | {
    readonly _tag: "Done";
    readonly reason: "stop" | "length" | "aborted";
    readonly tokens: number;
    readonly bytes: Uint8Array;
    readonly text: string;
    readonly cache: CacheState;
  }
  /** The end: something failed. */
  | { readonly _tag: "Failed"; readonly error: KvError; readonly bytes: Uint8Array; readonly text: string; readonly cache: CacheState };

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

/** Options of {@link generate}. */
export type GenerateOptions = Prompt & DecodeOptions & Omit<PrefillOptions, "signal">;

/** Continues a prompt under a policy. Leaving the loop, by `break` too, frees everything the generation held.
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
  const session = await prefill(model, policy, { ...options, room })(tokens)();
  if (E.isRight(session)) return yield* decode(session.right, decoding);
  yield options.signal?.aborted === true ? done("aborted", 0, "", nothingHeld) : failed(session.left, nothingHeld);
}

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
  if (E.isRight(decoding)) return yield* decode(session, decoding.right);
  disposeSession(session)();
  yield failed(decoding.left, nothingHeld);
}

/** Checked options of a decoding loop. */
interface Decoding {
  readonly count: number;
  readonly sampling: Sampling;
  readonly stop: ReadonlySet<number>;
  readonly tokenizer: Tokenizer;
  readonly signal: AbortSignal | undefined;
}

async function* decode(start: Session, { count, sampling, stop, tokenizer, signal }: Decoding): AsyncGenerator<Step, void, void> {
  const utf8 = new TextDecoder();
  let session = start;
  let held = true;
  try {
    for (let index = 0;; index++) {
      const reason = await isAborted(signal) ? "aborted" : index === count ? "length" : null;
      const cache = stateOf(session.cache);
      if (reason !== null) return yield done(reason, index, utf8.decode(), cache);
      const id = sample(sampling, index)(session.logits);
      if (E.isLeft(id)) return yield failed(id.left, cache);
      if (stop.has(id.right)) return yield done("stop", index, utf8.decode(), cache);
      const bytes = tokenizer.bytesOf(id.right);
      yield { _tag: "Token", id: id.right, index, bytes, text: utf8.decode(bytes, { stream: true }), cache };
      if (index + 1 === count) continue;
      const next = await step(id.right)(session)();
      held = E.isRight(next);
      if (E.isLeft(next)) return yield failed(next.left, nothingHeld);
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

const stateOf = (cache: KvCache): CacheState => ({ bytes: bytesOf(cache).total, rows: rowsKept(cache) });
const nothingHeld: CacheState = { bytes: 0, rows: 0 };
const noBytes = (): Uint8Array => new Uint8Array();

const done = (reason: Extract<Step, { readonly _tag: "Done" }>["reason"], tokens: number, text: string, cache: CacheState): Step => ({
  _tag: "Done",
  reason,
  tokens,
  bytes: noBytes(),
  text,
  cache,
});

const failed = (error: KvError, cache: CacheState): Step => ({ _tag: "Failed", error, bytes: noBytes(), text: "", cache });
