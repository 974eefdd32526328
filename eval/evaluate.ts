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
import type { LayerPlan } from "../plan/types.ts";
import type { Policy } from "../policy/types.ts";
import { type Item, tokensOf } from "./item.ts";
import { fits, FULL, type Method, NONE, policyFor } from "./methods.ts";
import { type Base, baseOf, type EvalRecord, mean, probesOf } from "./record.ts";
import {
  type Answered,
  answersFrom,
  answersWithout,
  planAt,
  planOfReading,
  readFirst,
  type Reading,
  readingOf,
  traceOf,
} from "./run_item.ts";

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
      const planned = methods.flatMap((method) => "policy" in method ? [method] : []);
      const unfit = [
        ...planned.map((method) => planAt(model, item, policyFor(method, item), 0)),
        ...grouped(model, item, planned).map(({ widest }) => planOfReading(model, item, widest)),
      ].find(E.isLeft);
      if (unfit !== undefined) return unfit;
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
  const [plain, ...others] = grouped(model, item, methods.flatMap((method) => "policy" in method ? [method] : []));
  const ran = await withReading(model, item, plain, async (reading) => {
    const started = await startOf(reading, item);
    if (E.isLeft(started)) return started;
    const { base, trace } = started.right;
    const record = (method: Method, answered: Answered): Either<KvError, void> => add(recordOf(model, item, base, method, answered));
    const known = recordBase(model, item, base, methods, add);
    if (E.isLeft(known)) return known;
    const first = await answerAll(item, trace, plain.methods, reading, record);
    return E.isLeft(first) ? first : E.right({ trace, record });
  });
  if (E.isLeft(ran)) return ran;
  const { trace, record } = ran.right;
  for (const group of others) {
    const done = await withReading(model, item, group, (reading) => answerAll(item, trace, group.methods, reading, record));
    if (E.isLeft(done)) return done;
  }
  return E.right(undefined);
}

/** Reads the first turn for a group; the reading is freed after its use. */
async function withReading<A>(
  model: Model,
  item: Item,
  group: Group,
  use: (reading: Reading) => Promise<Either<KvError, A>>,
): Promise<Either<KvError, A>> {
  const reading = await readFirst(model, item, group.widest)();
  if (E.isLeft(reading)) return reading;
  const used = await use(reading.right);
  const freed = disposeSession(reading.right.session)();
  return E.isRight(used) && E.isLeft(freed) ? freed : used;
}

type AddAnswered = (method: Method, answered: Answered) => Either<KvError, void>;

async function answerAll(
  item: Item,
  trace: ReadonlyArray<number>,
  methods: ReadonlyArray<Planned>,
  reading: Reading,
  record: AddAnswered,
): Promise<Either<KvError, void>> {
  for (const method of methods) {
    const answered = await answersFrom(item, method, trace)(reading)();
    const added = E.isLeft(answered) ? answered : record(method, answered.right);
    if (E.isLeft(added)) return added;
  }
  return E.right(undefined);
}

/** Records the full cache and no context, where they are asked for. */
function recordBase(model: Model, item: Item, base: Base, methods: ReadonlyArray<Method>, add: Add): Either<KvError, void> {
  const nothing: Answered = {
    ...base.full,
    logits: [],
    bytes: { ...base.full.bytes, rows: 0, positions: 0, columns: 0, total: 0 },
    kept: [],
  };
  for (const method of methods) {
    if (method._tag !== "Full" && method._tag !== "None") continue;
    const added = method._tag === "Full"
      ? add(recordOf(model, item, base, method, base.full))
      : add(withoutContext(recordOf(model, item, base, method, nothing), base));
    if (E.isLeft(added)) return added;
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

/** Methods that can share a reading of the first turn, and the one that looks at most queries: by it the turn is read. */
interface Group {
  readonly widest: Policy;
  readonly ring: number;
  readonly methods: ReadonlyArray<Planned>;
}

/** All groups; the first is the full cache's. */
function grouped(model: Model, item: Item, methods: ReadonlyArray<Planned>): readonly [Group, ...ReadonlyArray<Group>] {
  const plain: Group = { widest: keepAll, ring: 0, methods: [] };
  const groups = new Map<string, Group>();
  const keyOf = (policy: Policy): readonly [string, number] => {
    const plan = planAt(model, item, policy, 0);
    if (E.isLeft(plan)) return [policy.text, 0];
    const most = (of: (layer: LayerPlan) => number): number => Math.max(0, ...plan.right.layers.map(of));
    const ring = most(({ recentQueries }) => recentQueries);
    // The turn is read by the policy with the longest ring: were that one with pages, forks of others would hold their bounds too.
    const pages = ring === 0 ? 0 : most(({ pages }) => pages?.rows ?? 0);
    return [`${readingOf(policy, plan.right)} ${pages > 0 ? pages : ""}`, ring];
  };
  const [first] = keyOf(keepAll);
  groups.set(first, plain);
  for (const method of methods) {
    const policy = policyFor(method, item);
    const [key, ring] = keyOf(policy);
    const group = groups.get(key) ?? { widest: policy, ring, methods: [] };
    groups.set(key, { ...(ring > group.ring ? { widest: policy, ring } : group), methods: [...group.methods, method] });
  }
  const [all = plain, ...others] = groups.values();
  return [all, ...others];
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
    ...answered.bytesStored === null ? {} : { bytesStored: answered.bytesStored },
    rowsRead: answered.rowsRead,
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
  rowsRead: null,
  portrait: null,
  probes: base.none.map((none, p) => {
    const [nll, full] = [mean(none), mean(base.nll[p] ?? [])];
    const unknown = { age: 0, kl: 0, kl95: 0, top1: 0, hits: 0, odds: null, match: 0, far: null, deciles: null };
    return { ...unknown, n: none.length, nll, nllFull: full, nllNone: nll };
  }),
});
