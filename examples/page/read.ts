/**
 * One run of the page: a document read under a policy, a question, an answer, reported as it goes.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { bytesOf, fullBytes, rowsPerHead } from "../../cache/bytes.ts";
import { type KvError, showError } from "../../cache/error.ts";
import type { KvCache } from "../../cache/types.ts";
import { questionOf } from "../../eval/task.ts";
import { continueFrom, type DeviceLost, extend, type Model, planFor, prefill, type Session, type Tokenizer } from "../../model/mod.ts";
import { checkTokens } from "../../model/session.ts";
import { parsePolicy } from "../../papers/mod.ts";
import { readPositions } from "../../run/mod.ts";
import type { Ask, Kept, Reading, Report } from "./messages.ts";

/** Tokens per run of the prefill: often enough for a live view, long enough to be fast. */
const CHUNK = 128;

type Emit = (report: Report) => void;

/** Does what is asked and reports it; only the loss of the device is left to the caller, who may have another. Nothing of it stays allocated. */
export async function readAndAnswer(model: Model, run: number, ask: Ask, signal: AbortSignal, emit: Emit): Promise<DeviceLost | null> {
  const ended = await perform(model, run, ask, signal, emit);
  if (signal.aborted) emit({ _tag: "Stopped", run });
  else if (E.isRight(ended)) emit({ _tag: "Finished", run });
  else if (ended.left._tag === "DeviceLost") return ended.left;
  else emit({ _tag: "Failed", run, sentence: showError(ended.left), gone: false });
  return null;
}

async function perform(model: Model, run: number, ask: Ask, signal: AbortSignal, emit: Emit): Promise<E.Either<KvError, void>> {
  const job = pipe(
    E.Do,
    E.bindW("policy", () => parsePolicy(ask.policy)),
    E.bindW("tokenizer", model.tokenizer),
    E.bindW("texts", ({ tokenizer }) => questionOf(tokenizer, ask)),
    E.chainFirstW(({ texts }) => checkTokens(model, [...texts.prompt, ...texts.question], 0)),
    E.bindW("plan", ({ policy, texts }) => planFor(model, policy, texts.prompt.length, { chunk: CHUNK })),
  );
  if (E.isLeft(job)) return job;
  const { policy, tokenizer, texts: { prompt, question }, plan } = job.right;
  emit({ _tag: "Started", run, pieces: piecesOf(tokenizer, prompt) });
  const evicts = plan.evictsAt({ _tag: "AfterChunk", m: CHUNK });
  const start = performance.now();
  const progress = (tokens: number, cache: KvCache): void => {
    emit({ _tag: "Reading", run, reading: readingOf(model, cache, tokens, start) });
    if (evicts) void reportKept(model, run, cache, prompt.length, emit);
    else emit({ _tag: "Kept", run, kept: everyRow(cache, tokens, prompt.length) });
  };
  const read = await prefill(model, policy, { chunk: CHUNK, signal, progress })(prompt)();
  if (E.isLeft(read)) return read;
  emit({ _tag: "Reading", run, reading: readingOf(model, read.right.cache, prompt.length, start) });
  await reportKept(model, run, read.right.cache, prompt.length, emit);
  const asked = question.length === 0 ? read : await extend(question, { signal })(read.right)();
  return E.isLeft(asked) ? asked : await answer(asked.right, run, ask.maxNewTokens, signal, emit);
}

/** Decodes the likeliest tokens until one ends the answer, the length is reached, or the run is stopped. */
async function answer(session: Session, run: number, most: number, signal: AbortSignal, emit: Emit): Promise<E.Either<KvError, void>> {
  const room = session.model.spec.shape.context - session.cache.nextPosition;
  const start = performance.now();
  let [text, rested] = ["", start];
  for await (const step of continueFrom(session, { maxNewTokens: Math.max(1, Math.min(most, room)) })) {
    if (step._tag === "Failed") return E.left(step.error);
    text += step.text;
    const now = performance.now();
    // The first token comes from the logits that reading gave: it takes no time of its own.
    const steps = step._tag === "Token" ? step.index : step.tokens - 1;
    emit({ _tag: "Answering", run, text, tokensPerSecond: steps > 0 ? steps / ((now - start) / 1000) : null });
    if (now - rested < 50) continue;
    await rest();
    rested = performance.now();
    if (signal.aborted) break;
  }
  return E.right(undefined);
}

/** Lets messages in. A timer would wait 4 ms each time. */
const rest = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

/** The text of each token. A character that two tokens share goes to the second. */
export function piecesOf(tokenizer: Tokenizer, ids: ReadonlyArray<number>): ReadonlyArray<string> {
  const utf8 = new TextDecoder();
  return ids.map((id) => utf8.decode(tokenizer.bytesOf(id), { stream: true }));
}

function readingOf(model: Model, cache: KvCache, tokens: number, start: number): Reading {
  const { rows, total } = bytesOf(cache);
  return {
    tokens,
    rows: rowsPerHead(cache),
    bytes: total,
    bytesBeside: total - rows,
    bytesFull: fullBytes(model.spec.shape, tokens),
    tokensPerSecond: tokens / ((performance.now() - start) / 1000),
  };
}

async function reportKept(model: Model, run: number, cache: KvCache, tokens: number, emit: Emit): Promise<void> {
  const positions = await readPositions(model.memory)(cache)();
  if (E.isRight(positions)) emit({ _tag: "Kept", run, kept: keptOf(positions.right.flat(), tokens) });
}

/** Positions per head as a map. */
export function keptOf(heads: ReadonlyArray<Uint32Array>, tokens: number): Kept {
  const map = new Uint8Array(heads.length * tokens);
  heads.forEach((positions, h) => positions.forEach((p) => p < tokens ? map[h * tokens + p] = 1 : undefined));
  return { heads: heads.length, tokens, map };
}

/** The map where nothing has been evicted yet. */
function everyRow(cache: KvCache, read: number, tokens: number): Kept {
  const heads = rowsPerHead(cache).flat().length;
  const map = new Uint8Array(heads * tokens);
  for (let h = 0; h < heads; h++) map.fill(1, h * tokens, h * tokens + read);
  return { heads, tokens, map };
}
