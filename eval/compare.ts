/**
 * The full cache against pruned ones, on one model and one document: rows, bytes, speed, fidelity, and what the model then says.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { bytesOf, fullBytes, rowsKept } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import { continueFrom } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { disposeSession, extend, forkSession, planFor, prefill, type PrefillOptions, type Session, step } from "../model/session.ts";
import { keepAll } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { fidelity, type Logits } from "./metrics.ts";
import type { CompareTask } from "./task.ts";

/** One policy's result. */
export interface Run {
  /** Its text. */
  readonly policy: string;
  /** Rows the cache holds after the prefill, over all layers and heads. */
  readonly rowsKept: number;
  /** Rows of the whole cache. */
  readonly rowsTotal: number;
  /** Bytes really held after the prefill: rows, positions, columns, slack. */
  readonly bytes: number;
  /** Bytes of the whole cache in f16. */
  readonly bytesFull: number;
  /** Bytes that the cache took while it was stored between prompt and answer, where the policy stores it in another form than it attends to. */
  readonly bytesStored?: number;
  /** The policy's work at the end of the prefill included. */
  readonly prefillTokensPerSecond: number;
  /** One token at a time, from the compressed cache. */
  readonly decodeTokensPerSecond: number;
  /** Against the full cache, on the tokens that follow the document: nats per token; see `Fidelity`. */
  readonly nllDelta: number;
  /** The same: nats per token. */
  readonly kl: number;
  /** The same: share of positions. */
  readonly top1: number;
  /** The answer, or how the document is continued where nothing is asked. */
  readonly text: string;
}

/** What `kvfold compare` prints: the first run is the full cache itself. */
export interface Comparison {
  /** How the caller named it. */
  readonly model: string;
  /** Name of the backend that ran. */
  readonly backend: string;
  /** Tokens read into the cache. */
  readonly tokens: number;
  /** The full cache, then each policy. */
  readonly runs: ReadonlyArray<Run>;
}

/** Options of {@link compare}. */
export interface CompareOptions {
  /** How the model is called in the result. */
  readonly name: string;
  /** Tokens per run of the prefill. */
  readonly chunk: number;
  /** How rows are stored where a policy does not say. */
  readonly codec: "f16" | "f32";
  /** Most tokens of an answer. */
  readonly maxNewTokens: number;
  /** Told how far each part is. */
  readonly progress: (label: string, done: number, total: number) => void;
}

/** Runs the full cache and then each policy. Every policy is planned before anything runs, so a mistake in the last one costs nothing. */
export const compare = (
  model: Model,
  policies: ReadonlyArray<Policy>,
  options: CompareOptions,
): (task: CompareTask) => TaskEither<KvError, Comparison> =>
(task) =>
async () => {
  const { chunk, codec, name } = options;
  const unfit = policies.map((policy) => planFor(model, policy, task.prompt.length, { chunk, codec })).find(E.isLeft);
  if (unfit !== undefined) return unfit;
  const fits = checkRoom(model, task, options.maxNewTokens);
  if (E.isLeft(fits)) return fits;
  const warm = await prefill(model, keepAll, { chunk, codec })(task.prompt.slice(0, chunk))();
  if (E.isLeft(warm)) return warm;
  disposeSession(warm.right)();
  const runs: Run[] = [];
  let base: Logits | null = null;
  for (const policy of [keepAll, ...policies]) {
    const measured = await measure(model, policy, task, options);
    if (E.isLeft(measured)) return measured;
    const { logits, ...rest } = measured.right;
    base ??= logits;
    const distance = fidelity(base, logits, task.continuation);
    if (E.isLeft(distance)) return distance;
    const { text, ...numbers } = rest;
    runs.push({ ...numbers, ...distance.right, text });
  }
  return E.right({ model: name, backend: model.backend.name, tokens: task.prompt.length, runs });
};

function checkRoom({ spec }: Model, { prompt, continuation, question }: CompareTask, maxNewTokens: number): Either<KvError, void> {
  const needed = prompt.length + Math.max(continuation.length, question.length + maxNewTokens);
  const available = spec.shape.context;
  return needed <= available
    ? E.right(undefined)
    : E.left({ _tag: "OverLimit", limit: `context of ${spec.name}, tokens`, needed, available });
}

/** A run without its distances, and the logits they are computed from. */
type Measured = Omit<Run, "nllDelta" | "kl" | "top1"> & { readonly logits: Logits };

async function measure(model: Model, policy: Policy, task: CompareTask, options: CompareOptions): Promise<Either<KvError, Measured>> {
  const { prompt } = task;
  const { chunk, codec } = options;
  const progress = (tokens: number): void => options.progress(`${policy.text}: reading`, tokens, prompt.length);
  const reading: PrefillOptions = { chunk, codec, progress };
  const start = performance.now();
  const session = await prefill(model, policy, reading)(prompt)();
  if (E.isLeft(session)) return session;
  const seconds = (performance.now() - start) / 1000;
  try {
    const { cache } = session.right;
    const followed = await follow(
      session.right,
      task.continuation,
      (done, total) => options.progress(`${policy.text}: following`, done, total),
    );
    if (E.isLeft(followed)) return followed;
    const text = await answer(session.right, task, options, (done, total) => options.progress(`${policy.text}: answering`, done, total));
    if (E.isLeft(text)) return text;
    return E.right({
      policy: policy.text,
      rowsKept: rowsKept(cache),
      rowsTotal: model.spec.shape.layers.reduce((sum, { kvHeads }) => sum + kvHeads * prompt.length, 0),
      bytes: bytesOf(cache).total,
      bytesFull: fullBytes(model.spec.shape, prompt.length),
      ...session.right.storedBytes === null ? {} : { bytesStored: session.right.storedBytes },
      prefillTokensPerSecond: prompt.length / seconds,
      decodeTokensPerSecond: followed.right.tokensPerSecond,
      text: text.right,
      logits: followed.right.logits,
    });
  } finally {
    disposeSession(session.right)();
  }
}

type Report = (done: number, total: number) => void;

/** Decodes the true continuation token by token from a fork: a row of logits per token, and the speed. */
async function follow(
  session: Session,
  tokens: ReadonlyArray<number>,
  report: Report,
): Promise<Either<KvError, { readonly logits: Logits; readonly tokensPerSecond: number }>> {
  const forked = await forkSession(session)();
  if (E.isLeft(forked)) return forked;
  let at = forked.right;
  const logits = [at.logits];
  const start = performance.now();
  for (const token of tokens.slice(0, -1)) {
    const next = await step(token)(at)();
    if (E.isLeft(next)) return next;
    at = next.right;
    logits.push(at.logits);
    report(logits.length, tokens.length);
  }
  const tokensPerSecond = (tokens.length - 1) / ((performance.now() - start) / 1000);
  const freed = disposeSession(at)();
  return E.isLeft(freed) ? freed : E.right({ logits, tokensPerSecond });
}

/** Reads the question into a fork and decodes the likeliest tokens until one ends the answer. */
async function answer(
  session: Session,
  task: CompareTask,
  { maxNewTokens }: CompareOptions,
  report: Report,
): Promise<Either<KvError, string>> {
  const forked = await forkSession(session)();
  if (E.isLeft(forked)) return forked;
  const asked = task.question.length === 0 ? forked : await extend(task.question)(forked.right)();
  if (E.isLeft(asked)) return asked;
  let text = "";
  for await (const next of continueFrom(asked.right, { maxNewTokens })) {
    if (next._tag === "Failed") return E.left(next.error);
    text += next.text;
    if (next._tag === "Token") report(next.index + 1, maxNewTokens);
  }
  return E.right(text);
}
