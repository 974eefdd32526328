/**
 * One item under one method: every turn is read and compressed, and every question is asked of a fork. Methods that observe the same while
 * the first turn is read start from forks of one reading.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { bytesOf, type CacheBytes, rowsPerHead } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import { ownLayers } from "../cache/view.ts";
import {
  disposeSession,
  endPrompt,
  extend,
  type Forced,
  forcedReads,
  forkSession,
  observePrompt,
  planFor,
  rereadPrompt,
  type Session,
  step,
} from "../model/mod.ts";
import type { Model } from "../model/model.ts";
import { readPositions } from "../run/mod.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { keepAll } from "../papers/mod.ts";
import type { Moment, Policy } from "../policy/types.ts";
import type { Item, Probe } from "./item.ts";
import { decodesQuestions, GIVEN, givenScore, type Method, policyFor, seenAfter } from "./methods.ts";
import type { Logits } from "./metrics.ts";
import { mean } from "./record.ts";

/** Tokens per run of text: one size for every method, so that nothing but the policy differs. */
const CHUNK = 256;

/** What a method gave on an item. */
export interface Answered {
  /** Logits [answer][vocab] of every probe, turn by turn; of a traced item, those of its trace. */
  readonly logits: ReadonlyArray<Logits>;
  /** The ids they predict. */
  readonly targets: ReadonlyArray<ReadonlyArray<number>>;
  /** Mean negative log-likelihoods of each probe's distractors, nats per token. */
  readonly distractors: ReadonlyArray<ReadonlyArray<Logits>>;
  /** Rows that the queries of the last token scored read, over all layers and KV heads, mean over the probes. */
  readonly rowsRead: number;
  /** The cache that was asked last. */
  readonly bytes: CacheBytes;
  /** Bytes that it took while it was stored in another form than it is attended to, or null. */
  readonly bytesStored: number | null;
  /** Rows per layer and head in it. */
  readonly kept: ReadonlyArray<ReadonlyArray<number>>;
  /** Share of all heads of all layers that keep each position, whole percent. */
  readonly shares: ReadonlyArray<number>;
  /** Time of the policy's work at the end of the first turn, milliseconds. */
  readonly compressMs: number;
}

/** Moments before the end of a prompt. */
const WHILE_READING: ReadonlySet<Moment["_tag"]> = new Set(["Append", "Build", "OnExit", "Chunk"]);

/** What policies must have in common to share one reading of a prompt: what they do before its end, and what rows they need. Of the rings
 * they need the longest serves all. */
export const readingOf = (policy: Policy, plan: PolicyPlan): string =>
  JSON.stringify([
    policy.blocks.filter(({ moment }) => WHILE_READING.has(moment._tag)),
    plan.layers.map((
      { keyCodec, valueCodec, readsFrom, columns, store },
    ) => [keyCodec, valueCodec, readsFrom, columns, store]),
    plan.reconstructions,
  ]);

/** The plan of a method after turn `t`. */
export const planAt = (model: Model, item: Item, policy: Policy, t: number): Either<KvError, PolicyPlan> =>
  planFor(model, policy, seenAfter(item, policy, t), { chunk: CHUNK });

/** The plan that the first turn is read by: it knows of no other tokens. */
export const planOfReading = (model: Model, item: Item, policy: Policy): Either<KvError, PolicyPlan> =>
  planFor(model, policy, item.turns[0]?.tokens.length ?? 0, { chunk: CHUNK });

/** A first turn that is read, before the policy acts at its end. */
export interface Reading {
  readonly session: Session;
  /** Time of reading it again where scores are by reconstruction, milliseconds: part of the policy's work. */
  readonly ms: number;
}

/** Reads the first turn as the plan observes it; nothing is evicted that only the end of the prompt evicts. */
export const readFirst = (model: Model, item: Item, policy: Policy): TaskEither<KvError, Reading> =>
  pipe(
    TE.fromEither(planAt(model, item, policy, 0)),
    TE.chain((plan) =>
      pipe(
        observePrompt(model, policy, { chunk: CHUNK })(item.turns[0]?.tokens ?? []),
        TE.chain((read) => {
          const before = performance.now();
          return TE.map((session: Session): Reading => ({ session, ms: performance.now() - before }))(rereadPrompt(plan)(read));
        }),
      )
    ),
  );

/** Runs a method from a reading of the first turn, which stays as it is. `trace`: the ids to follow, for a traced item. */
export const answersFrom =
  (item: Item, method: Exclude<Method, { readonly _tag: "None" }>, trace: ReadonlyArray<number>) =>
  ({ session: reading, ms }: Reading): TaskEither<KvError, Answered> =>
  async () => {
    const { model } = reading;
    const policy = method._tag === "Full" ? keepAll : policyFor(method, item);
    const given = method._tag === "Given" ? writeGiven(reading, method, item) : E.right(undefined);
    if (E.isLeft(given)) return given;
    const start = await forkSession(reading)();
    if (E.isLeft(start)) return start;
    let session = start.right;
    let compressMs = 0;
    const asked: Asked[] = [];
    for (const [t, turn] of item.turns.entries()) {
      if (t > 0) {
        const longer = await extend(turn.tokens)(session)();
        if (E.isLeft(longer)) return longer;
        session = longer.right;
      }
      const plan = planAt(model, item, policy, t);
      if (E.isLeft(plan)) return dropped(session, plan);
      const before = performance.now();
      const ended = await endPrompt(plan.right, { last: t + 1 === item.turns.length })(session)();
      if (E.isLeft(ended)) return ended;
      if (t === 0) compressMs = ms + performance.now() - before;
      session = ended.right;
      for (const probe of turn.probes) {
        const answered = await askFork(session, probe, decodesQuestions(policy));
        if (E.isLeft(answered)) return dropped(session, answered);
        asked.push(answered.right);
      }
    }
    if (item.trace > 0) {
      const followed = await follow(session, trace);
      if (E.isLeft(followed)) return followed;
      asked.push({ logits: followed.right.logits, targets: trace, distractors: [], rowsRead: followed.right.session.rowsRead });
      session = followed.right.session;
    }
    const positions = await readPositions(model.memory)(session.cache)();
    if (E.isLeft(positions)) return dropped(session, positions);
    const result = {
      logits: asked.map(({ logits }) => logits),
      targets: asked.map(({ targets }) => targets),
      distractors: asked.map(({ distractors }) => distractors),
      rowsRead: mean(asked.map(({ rowsRead }) => rowsRead)),
      bytes: bytesOf(session.cache),
      bytesStored: session.storedBytes,
      kept: rowsPerHead(session.cache),
      shares: sharesOf(positions.right, session.cache.nextPosition),
      compressMs,
    };
    const freed = disposeSession(session)();
    return E.isLeft(freed) ? freed : E.right(result);
  };

function sharesOf(layers: ReadonlyArray<ReadonlyArray<Uint32Array>>, tokens: number): ReadonlyArray<number> {
  const heads = layers.flat();
  const votes = new Uint32Array(tokens);
  for (const head of heads) for (const position of head) votes[position] = (votes[position] ?? 0) + 1;
  return Array.from(votes, (count) => Math.round(100 * count / heads.length));
}

/** The same questions without the context. */
export const answersWithout = (model: Model, item: Item): TaskEither<KvError, ReadonlyArray<Logits>> => async () => {
  const session = await observePrompt(model, keepAll, { chunk: CHUNK })(item.bare)();
  if (E.isLeft(session)) return session;
  const all: Logits[] = [];
  for (const probe of item.turns.flatMap(({ probes }) => probes)) {
    const asked = await askFork(session.right, { ...probe, distractors: [] }, false);
    if (E.isLeft(asked)) return dropped(session.right, asked);
    all.push(asked.right.logits);
  }
  const freed = disposeSession(session.right)();
  return E.isLeft(freed) ? freed : E.right(all);
};

/** How the full cache continues the first turn: the likeliest token each time. */
export const traceOf = (item: Item) => ({ session: reading }: Reading): TaskEither<KvError, ReadonlyArray<number>> => async () => {
  // The reading may be that of a policy: what follows is the full cache's.
  const full = planAt(reading.model, item, keepAll, 0);
  if (E.isLeft(full)) return full;
  const forked = await pipe(forkSession(reading), TE.chain(endPrompt(full.right)))();
  if (E.isLeft(forked)) return forked;
  let session = forked.right;
  const ids: number[] = [];
  while (ids.length < item.trace) {
    ids.push(session.logits.indexOf(session.logits.reduce((a, b) => Math.max(a, b), -Infinity)));
    const next = await step(ids.at(-1) ?? 0)(session)();
    if (E.isLeft(next)) return next;
    session = next.right;
  }
  const freed = disposeSession(session)();
  return E.isLeft(freed) ? freed : E.right(ids);
};

interface Asked {
  readonly logits: Logits;
  readonly targets: ReadonlyArray<number>;
  readonly distractors: ReadonlyArray<Logits>;
  readonly rowsRead: number;
}

/** Ends a session after a failure elsewhere. */
function dropped<A>(session: Session, failure: E.Left<KvError>): Either<KvError, A> {
  disposeSession(session)();
  return failure;
}

async function askFork(session: Session, { query, answer, distractors }: Probe, bySteps: boolean): Promise<Either<KvError, Asked>> {
  const ask = bySteps ? stepped(query) : extend(query);
  const given: Forced[] = [];
  for (const target of [answer, ...distractors]) {
    const forced = await pipe(
      forkSession(session),
      TE.chain((fork) => query.length === 0 ? TE.right(fork) : ask(fork)),
      TE.chain(forcedReads(target)),
    )();
    if (E.isLeft(forced)) return forced;
    given.push(forced.right);
  }
  const [logits = [], ...wrong] = given.map(({ logits }) => logits);
  return E.right({ logits, targets: answer, distractors: wrong, rowsRead: given[0]?.rowsRead ?? 0 });
}

const stepped = (ids: ReadonlyArray<number>) => (session: Session): TaskEither<KvError, Session> =>
  ids.reduce<TaskEither<KvError, Session>>((read, id) => pipe(read, TE.chain(step(id))), TE.right(session));

/** Decodes these ids one by one, so that what acts while decoding acts. The session is consumed. */
async function follow(
  start: Session,
  ids: ReadonlyArray<number>,
): Promise<Either<KvError, { readonly session: Session; readonly logits: Logits }>> {
  let session = start;
  const logits: Float32Array[] = [];
  for (const id of ids) {
    logits.push(session.logits);
    const next = await step(id)(session)();
    if (E.isLeft(next)) return next;
    session = next.right;
  }
  return E.right({ session, logits });
}

/** Writes a control's ranking into the reading's column. Evicting copies first, so an earlier control's fork is not touched. */
function writeGiven(
  { model, cache }: Session,
  method: Extract<Method, { readonly _tag: "Given" }>,
  item: Item,
): Either<KvError, void> {
  const score = givenScore(method, item);
  for (const { index, own } of ownLayers(cache)) {
    const tail = own.tiers.at(-1);
    const buffer = tail?.storage.columns[GIVEN];
    if (tail === undefined || buffer === undefined) continue;
    for (const [head, { start, length }] of tail.segments.entries()) {
      // Nothing has been evicted yet: the row in slot i is that of position i.
      const values = Float32Array.from({ length }, (_, position) => score(index, head, position));
      const written = model.backend.write(buffer, 4 * start, new Uint8Array(values.buffer))();
      if (E.isLeft(written)) return written;
    }
  }
  return E.right(undefined);
}
