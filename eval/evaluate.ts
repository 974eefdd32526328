/**
 * The loop of an evaluation: items by methods, each finished pair a record. What a store already has is not run again, so an interrupted
 * evaluation goes on where it was.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { fullBytes } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import type { Model } from "../model/model.ts";
import { disposeSession } from "../model/session.ts";
import { keepAll } from "../papers/mod.ts";
import { type Item, tokensOf } from "./item.ts";
import { fits, FULL, type Method, NONE, policyFor } from "./methods.ts";
import { type Base, baseOf, type EvalRecord, mean, probesOf } from "./record.ts";
import { type Answered, answersFrom, answersWithout, planAt, readFirst, type Reading, readingOf, traceOf } from "./run_item.ts";

/** Where records go. */
export interface Store {
  /** Whether this pair is there already. */
  readonly has: (item: string, method: string) => boolean;
  /** Adds a record; once it returns, the record survives a crash. */
  readonly add: (record: EvalRecord) => Either<KvError, void>;
}

/** Told which pair is done, of how many. */
export type Watch = (label: string, done: number, total: number) => void;

/** Runs every method on every item. All plans are made first, so a policy that does not fit costs nothing. */
export const evaluate =
  (model: Model, methods: ReadonlyArray<Method>, store: Store, watch: Watch): (items: ReadonlyArray<Item>) => TaskEither<KvError, void> =>
  (items) =>
  async () => {
    const pairs = items.map((item) => ({ item, methods: [FULL, NONE, ...methods].filter((method) => fits(method, item)) }));
    for (const { item, methods } of pairs) {
      const unfit = methods.map((method) => "policy" in method ? planAt(model, item, policyFor(method, item), 0) : null)
        .find((plan) => plan !== null && E.isLeft(plan));
      if (unfit !== null && unfit !== undefined && E.isLeft(unfit)) return unfit;
    }
    const total = pairs.reduce((sum, { methods }) => sum + methods.length, 0);
    let done = 0;
    for (const { item, methods } of pairs) {
      const left = methods.filter((method) => !store.has(item.id, method.label));
      done += methods.length - left.length;
      watch(item.id, done, total);
      if (left.length === 0) continue;
      const first = items.find(({ task }) => task === item.task) === item;
      const ran = await runItem(model, item, left, (record) => {
        const added = store.add(first ? record : { ...record, portrait: null });
        if (E.isRight(added)) watch(`${item.id} ${record.method}`, ++done, total);
        return added;
      });
      if (E.isLeft(ran)) return ran;
    }
    return E.right(undefined);
  };

type Add = (record: EvalRecord) => Either<KvError, void>;

async function runItem(model: Model, item: Item, methods: ReadonlyArray<Method>, add: Add): Promise<Either<KvError, void>> {
  const plain = await readFirst(model, item, keepAll)();
  if (E.isLeft(plain)) return plain;
  const ran = await runFrom(plain.right, item, methods, add);
  const freed = disposeSession(plain.right.session)();
  return E.isLeft(ran) ? ran : freed;
}

/** `plain` is the prompt read under no policy: policies that need nothing while it is read start from it too. */
async function runFrom(plain: Reading, item: Item, methods: ReadonlyArray<Method>, add: Add): Promise<Either<KvError, void>> {
  const { model, plan } = plain.session;
  const started = await startOf(plain, item);
  if (E.isLeft(started)) return started;
  const { base, trace } = started.right;
  const record = (method: Method, answered: Answered): Either<KvError, void> => add(recordOf(model, item, base, method, answered));
  for (const method of methods) {
    if (method._tag !== "Full" && method._tag !== "None") continue;
    const none: Answered = {
      ...base.full,
      logits: [],
      bytes: { ...base.full.bytes, rows: 0, positions: 0, columns: 0, total: 0 },
      kept: [],
    };
    const added = method._tag === "Full" ? record(method, base.full) : add(withoutContext(recordOf(model, item, base, method, none), base));
    if (E.isLeft(added)) return added;
  }
  const answerAll = async (group: ReadonlyArray<Planned>, reading: Reading): Promise<Either<KvError, void>> => {
    for (const method of group) {
      const answered = await answersFrom(item, method, trace)(reading)();
      const added = E.isLeft(answered) ? answered : record(method, answered.right);
      if (E.isLeft(added)) return added;
    }
    return E.right(undefined);
  };
  for (const [key, group] of grouped(model, item, methods.flatMap((method) => "policy" in method ? [method] : []))) {
    const first = group[0];
    if (first === undefined) continue;
    const shared = key === readingOf(keepAll, plan);
    const reading = shared ? E.right(plain) : await readFirst(model, item, policyFor(first, item))();
    if (E.isLeft(reading)) return reading;
    const ran = await answerAll(group, reading.right);
    const freed = shared ? E.right(undefined) : disposeSession(reading.right.session)();
    if (E.isLeft(ran)) return ran;
    if (E.isLeft(freed)) return freed;
  }
  return E.right(undefined);
}

/** Runs the full cache, and no context. */
async function startOf(
  reading: Reading,
  item: Item,
): Promise<Either<KvError, { readonly base: Base; readonly trace: ReadonlyArray<number> }>> {
  const trace = await traceOf(item)(reading)();
  if (E.isLeft(trace)) return trace;
  const full = await answersFrom(item, FULL, trace.right)(reading)();
  if (E.isLeft(full)) return full;
  const without = await answersWithout(reading.session.model, item)();
  if (E.isLeft(without)) return without;
  return E.right({ base: baseOf(full.right, without.right), trace: trace.right });
}

type Planned = Extract<Method, { readonly policy: unknown }>;

/** Methods that can share a reading of the first turn, together. */
function grouped(model: Model, item: Item, methods: ReadonlyArray<Planned>): ReadonlyMap<string, ReadonlyArray<Planned>> {
  const groups = new Map<string, Planned[]>();
  for (const method of methods) {
    const policy = policyFor(method, item);
    const plan = planAt(model, item, policy, 0);
    const key = E.isLeft(plan) ? method.label : readingOf(policy, plan.right);
    groups.set(key, [...groups.get(key) ?? [], method]);
  }
  return groups;
}

function recordOf(model: Model, item: Item, base: Base, method: Method, answered: Answered): EvalRecord {
  const { rows, positions, columns, total } = answered.bytes;
  const tokens = tokensOf(item) + item.trace;
  return {
    task: item.task,
    item: item.id,
    document: item.document,
    kind: item.kind,
    method: method.label,
    tokens,
    bytes: rows + positions + columns,
    held: total,
    full: fullBytes(model.spec.shape, tokens),
    kept: answered.kept,
    ms: answered.compressMs,
    probes: probesOf(item, base, answered),
    portrait: { shares: answered.shares, pieces: method._tag === "Full" ? piecesOf(model, item) : null },
  };
}

const piecesOf = (model: Model, item: Item): ReadonlyArray<string> | null => {
  const tokenizer = model.tokenizer();
  return E.isLeft(tokenizer) ? null : item.turns.flatMap(({ tokens }) => tokens).map((id) => tokenizer.right.decode([id]));
};

/** Only likelihoods of the answers are known without context. */
const withoutContext = (record: EvalRecord, base: Base): EvalRecord => ({
  ...record,
  portrait: null,
  probes: base.none.map((none, p) => {
    const [nll, full] = [mean(none), mean(base.nll[p] ?? [])];
    const unknown = { age: 0, kl: 0, kl95: 0, top1: 0, hits: 0, odds: null, match: 0, far: null, deciles: null };
    return { ...unknown, n: none.length, nll, nllFull: full, nllNone: nll };
  }),
});
