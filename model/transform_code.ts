/**
 * KVTC for whole caches (arXiv 2511.01815): all rows but those of the first positions and of the newest become coefficients of calibrated
 * transforms, quantised as a bit plan says and packed by DEFLATE; and back. What is kept for attention is the decoded cache: this is a form
 * for storing and sending.
 *
 * One token is one row of numbers over all heads of a group of layers. A head that does not keep a token counts as its mean, and is left out
 * again when decoding. Rows that are codes already, columns and rings of queries are packed as they are.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { deflate, inflate } from "../cache/entropy.ts";
import type { KvError } from "../cache/error.ts";
import { huffman } from "../cache/huffman.ts";
import type { KvCache } from "../cache/types.ts";
import type { ModelShape } from "../cache/shape.ts";
import { type CacheTable, tiersIn } from "../run/cache_table.ts";
import type { PolicyPlan } from "../plan/types.ts";
import type { Memory } from "../run/memory.ts";
import { dispose } from "../run/open.ts";
import { putIn, type SavedCache, takeOut } from "../run/save.ts";
import type { Model } from "./model.ts";
import { planAt, streams, type Transforms } from "./transform.ts";
import { anglesFor, decodeGroup, encodeGroup, type Planned, type Work } from "./transform_group.ts";
import {
  type Coding,
  differences,
  exactRows,
  keyBytes,
  type Next,
  picked,
  readTier,
  type Split,
  valueBytes,
  wordsOf,
} from "./transform_split.ts";

/** What codes caches of one model at one ratio. */
export interface Coder {
  readonly memory: Memory;
  readonly shape: Pick<ModelShape, "layers">;
  readonly coding: Coding;
  /** Keys and values of every group of layers. */
  readonly planned: ReadonlyArray<Planned>;
}

/** A coder; bit plans are made here, once. */
export const coderOf = (
  memory: Memory,
  shape: Pick<ModelShape, "layers">,
  { groups }: Transforms,
  coding: Coding,
): Coder => ({
  memory,
  shape,
  coding,
  planned: groups.flatMap((group) =>
    streams.map((stream) => ({ transform: group[stream], stream, plan: planAt(group[stream], coding.ratio) }))
  ),
});

/** What codes caches of an open model. Left where it has no transforms, or for a ratio that means nothing. */
export function coderFor(
  { memory, spec: { shape, name }, transforms }: Model,
  coding: Coding,
): E.Either<KvError, Coder> {
  if (transforms === null) {
    const because = `${name} was opened without transforms, which kvfold train kvtc makes and --kvtc FILE brings`;
    return E.left({ _tag: "Unavailable", what: "kvtc", because });
  }
  const { ratio, sinks, recent } = coding;
  const wrong = (argument: string, value: number, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument, value: String(value), allowed });
  if (!(ratio >= 1 && ratio <= 1024)) return wrong("ratio", ratio, "a number from 1 to 1024");
  if (!Number.isSafeInteger(sinks) || sinks < 0) return wrong("sinks", sinks, "a whole number from 0");
  if (!Number.isSafeInteger(recent) || recent < 0) return wrong("recent", recent, "a whole number from 0");
  return E.right(coderOf(memory, shape, transforms, coding));
}

/** The parts of a coded cache: per tier positions, exact keys, exact values and the rest; rings; per group of layers keys and values. */
export const codeCache =
  ({ memory, shape, coding, planned }: Coder) => (saved: SavedCache): TaskEither<KvError, ReadonlyArray<Uint8Array>> => async () => {
    const { table } = saved;
    const { tiers, rings } = tiersIn(table, shape, saved.parts);
    const parts: Uint8Array[] = [];
    const split = tiers.map((tier): Split => ({ tier, positions: wordsOf(tier.parts[0]) }));
    for (const { tier, positions } of split) {
      const [, keys = new Uint8Array(), values = new Uint8Array(), ...rest] = tier.parts;
      parts.push(await deflate(differences(positions)));
      const exact = exactRows(coding, table, tier, positions);
      for (const [bytes, width] of [[keys, keyBytes(tier)], [values, valueBytes(tier)]] as const) {
        parts.push(huffman(picked(bytes, width, exact)));
      }
      for (const bytes of rest) parts.push(await deflate(Uint8Array.from(bytes)));
    }
    for (const bytes of rings) parts.push(await deflate(Uint8Array.from(bytes)));
    const work: Work = { memory, shape, coding, table, split, angles: anglesFor(table, -1) };
    for (const one of planned) {
      const planes = await encodeGroup(work, one)();
      if (E.isLeft(planes)) return planes;
      parts.push(huffman(planes.right));
    }
    return E.right(parts);
  };

/** The cache in the parts that {@link codeCache} gave for this table. Every length is checked before it is used. */
export const decodeCache =
  ({ memory, shape, coding, planned }: Coder, file: string) =>
  (table: CacheTable, parts: ReadonlyArray<Uint8Array>): TaskEither<KvError, SavedCache> =>
  async () => {
    const empty = tiersIn(table, shape, []);
    const wanted = empty.tiers.reduce((sum, { sizes }) => sum + sizes.length, 0) + empty.ringSizes.length + planned.length;
    if (parts.length !== wanted) {
      return E.left({ _tag: "InvalidFile", file, at: "the parts of the cache", found: String(parts.length), allowed: String(wanted) });
    }
    const queue = [...parts];
    const next: Next = (at, size) => inflate(file, at, queue.shift() ?? new Uint8Array(), size);
    const split: Split[] = [];
    for (const [i, tier] of empty.tiers.entries()) {
      const read = await readTier(coding, table, tier, `tier ${i} of the cache`, next, file);
      if (E.isLeft(read)) return read;
      split.push(read.right);
    }
    const rings: Uint8Array[] = [];
    for (const size of empty.ringSizes) {
      const ring = await next("a ring of queries", size);
      if (E.isLeft(ring)) return ring;
      rings.push(ring.right);
    }
    const work: Work = { memory, shape, coding, table, split, angles: anglesFor(table, 1) };
    for (const one of planned) {
      const { from, to } = one.transform;
      const decoded = await decodeGroup(work, one, (size) => next(`${one.stream} of layers ${from} to ${to - 1}`, size))();
      if (E.isLeft(decoded)) return decoded;
    }
    return E.right({ table, parts: empty.inOrder(split.map(({ tier }) => tier.parts), rings) });
  };

/** Bytes of parts. */
export const sizeOf = (parts: ReadonlyArray<Uint8Array>): number => parts.reduce((sum, { length }) => sum + length, 0);

/** The cache as it is after it was stored as the plan says, and the bytes it took then; as it was, where the plan stores nothing. Consumed,
 * also on Left. */
export const storedAndBack = (
  model: Model,
  { coding }: PolicyPlan,
  cache: KvCache,
): TaskEither<KvError, { readonly cache: KvCache; readonly storedBytes: number | null }> => {
  if (coding === null) return TE.right({ cache, storedBytes: null });
  const { memory, spec: { shape } } = model;
  const coded = pipe(
    TE.fromEither(coderFor(model, coding)),
    TE.chain((coder) =>
      pipe(
        takeOut(memory)(cache),
        TE.chain((saved) => pipe(codeCache(coder)(saved), TE.map((parts) => ({ coder, table: saved.table, parts })))),
      )
    ),
  );
  return async () => {
    const done = await coded();
    // Nothing but the coded parts is held from here on.
    dispose(memory)(cache)();
    if (E.isLeft(done)) return done;
    const { coder, table, parts } = done.right;
    return await pipe(
      decodeCache(coder, "the stored cache")(table, parts),
      TE.chainEitherK(putIn(memory, shape, "the stored cache")),
      TE.map((back) => ({ cache: back, storedBytes: sizeOf(parts) })),
    )();
  };
};
