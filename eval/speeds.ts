/**
 * What policies cost and gain in time and memory: each reads the same tokens, then all decode in turn, so that a busy moment of the machine
 * meets all of them.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { bytesOf, rowsKept } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import type { Model } from "../model/model.ts";
import { disposeSession, planFor, prefill, type Session, step } from "../model/session.ts";
import { keepAll } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { watchedModel } from "./watch.ts";

/** One policy after one length of prompt. */
export interface Speed {
  /** Its text. */
  readonly policy: string;
  /** Tokens read. */
  readonly tokens: number;
  /** Rows held after the prefill, over all layers and heads. */
  readonly rowsKept: number;
  /** Bytes held after the prefill. */
  readonly bytes: number;
  /** Most bytes that the cache and what it is computed with took while it was read. */
  readonly bytesPeak: number;
  /** The policy's work included. */
  readonly prefillTokensPerSecond: number;
  /** Median over the turns. */
  readonly decodeTokensPerSecond: number;
  /** Speed of decoding over that of the full cache in the same turn: the median turn, the slowest and the fastest. */
  readonly decodeRatio: readonly [median: number, least: number, most: number];
  /** Rows that the queries of a decoded token read, over all layers and heads: mean of the tokens. */
  readonly rowsRead: number;
}

/** Options of {@link speeds}. */
export interface SpeedOptions {
  /** Tokens per run of the prefill. */
  readonly chunk: number;
  /** How rows are stored where a policy does not say. */
  readonly codec: "f16" | "f32";
  /** Times that each policy decodes; the median counts. */
  readonly turns: number;
  /** Tokens decoded per turn. */
  readonly steps: number;
  /** Told how far each part is. */
  readonly progress: (label: string, done: number, total: number) => void;
}

/** Turns where nothing is said, and tokens of one: few, so that policies are compared within a tenth of a second or two. */
export const TURNS = { turns: 24, steps: 4 } as const;

/** A policy that has read the prompt. */
interface Reader {
  readonly read: Omit<Speed, "decodeTokensPerSecond" | "decodeRatio" | "rowsRead">;
  readonly session: Session;
}

/** What a turn took. */
interface Turn {
  readonly session: Session;
  readonly seconds: number;
  readonly rowsRead: number;
}

/** The full cache and then each policy on the first tokens of a text. Every policy is planned before anything runs; all caches are held at
 * once. Left if a policy does not fit, or a run fails.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference, orThrow } from "../mod.ts";
 * import { inductionModel, openModel } from "../model/mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 *
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const ids = Array.from({ length: 64 }, (_, i) => 40 + i % 7);
 * const options = { chunk: 32, codec: "f16", turns: 1, steps: 1, progress: () => {} } as const;
 * const found = await orThrow(speeds(model, [streamingLlm({ rows: 16 })], options)(ids));
 * assertEquals(found.map(({ policy, rowsKept }) => [policy, rowsKept]), [["keepall", 256], ["streamingllm(16)", 64]]);
 * ```
 */
export const speeds = (
  model: Model,
  policies: ReadonlyArray<Policy>,
  options: SpeedOptions,
): (ids: ReadonlyArray<number>) => TaskEither<KvError, ReadonlyArray<Speed>> =>
(ids) =>
async () => {
  const room = options.turns * options.steps;
  const needed = ids.length + room;
  const { context } = model.spec.shape;
  if (needed > context) return E.left({ _tag: "OverLimit", limit: `context of ${model.spec.name}, tokens`, needed, available: context });
  const { chunk, codec } = options;
  const unfit = policies.map((policy) => planFor(model, policy, ids.length, { chunk, codec })).find(E.isLeft);
  if (unfit !== undefined) return unfit;
  // What is compiled and warmed up once is nobody's cost. No logits are read: greedy decoding takes the token that the backend finds.
  const warm = await prefill(model, keepAll, { chunk, codec })(ids.slice(0, chunk))();
  if (E.isLeft(warm)) return warm;
  disposeSession(warm.right)();
  const readers: Reader[] = [];
  try {
    for (const policy of [keepAll, ...policies]) {
      const reader = await readPrompt(model, policy, ids, options);
      if (E.isLeft(reader)) return reader;
      readers.push(reader.right);
    }
    return await decodeInTurn(readers, ids, options);
  } finally {
    for (const { session } of readers) disposeSession(session)();
  }
};

async function readPrompt(
  model: Model,
  policy: Policy,
  ids: ReadonlyArray<number>,
  options: SpeedOptions,
): Promise<Either<KvError, Reader>> {
  const before = model.backend.liveBytes().buffers;
  const watch = watchedModel(model);
  const { chunk, codec, turns, steps } = options;
  const progress = (done: number): void => options.progress(`${policy.text}: reading`, done, ids.length);
  const start = performance.now();
  const session = await prefill(watch.model, policy, { chunk, codec, room: turns * steps, answer: "token", progress })(ids)();
  if (E.isLeft(session)) return session;
  const seconds = (performance.now() - start) / 1000;
  const { cache } = session.right;
  return E.right({
    session: session.right,
    read: {
      policy: policy.text,
      tokens: ids.length,
      rowsKept: rowsKept(cache),
      bytes: bytesOf(cache).total,
      bytesPeak: watch.peak() - before,
      prefillTokensPerSecond: ids.length / seconds,
    },
  });
}

/** Every reader decodes the text from its beginning on; the sessions in `readers` are replaced as they grow. */
async function decodeInTurn(
  readers: Reader[],
  ids: ReadonlyArray<number>,
  { turns, steps, progress }: SpeedOptions,
): Promise<Either<KvError, ReadonlyArray<Speed>>> {
  const taken = readers.map((): Turn[] => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, reader] of readers.entries()) {
      progress(`decoding, turn ${turn + 1} of ${turns}`, i, readers.length);
      const next = await decode(reader.session, Array.from({ length: steps }, (_, k) => ids[(turn * steps + k) % ids.length] ?? 0));
      if (E.isLeft(next)) return next;
      readers[i] = { ...reader, session: next.right.session };
      taken[i]?.push(next.right);
    }
  }
  const full = taken[0] ?? [];
  return E.right(readers.map(({ read }, i): Speed => {
    const own = taken[i] ?? [];
    const ratios = own.map(({ seconds }, turn) => (full[turn]?.seconds ?? NaN) / seconds).sort((a, b) => a - b);
    return {
      ...read,
      decodeTokensPerSecond: steps / median(own.map(({ seconds }) => seconds)),
      decodeRatio: [median(ratios), ratios[0] ?? NaN, ratios.at(-1) ?? NaN],
      rowsRead: own.reduce((sum, { rowsRead }) => sum + rowsRead, 0) / (turns * steps),
    };
  }));
}

async function decode(session: Session, tokens: ReadonlyArray<number>): Promise<Either<KvError, Turn>> {
  let [at, rowsRead] = [session, 0];
  const start = performance.now();
  for (const token of tokens) {
    const next = await step(token)(at)();
    if (E.isLeft(next)) return next;
    at = next.right;
    rowsRead += at.rowsRead;
  }
  return E.right({ session: at, seconds: (performance.now() - start) / 1000, rowsRead });
}

/** The median; NaN of nothing. */
export function median(values: ReadonlyArray<number>): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN) + (sorted[Math.ceil((sorted.length - 1) / 2)] ?? NaN)) / 2;
}
