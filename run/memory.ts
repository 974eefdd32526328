/**
 * Who holds which memory. A {@link Memory} is opened over a backend and passed to everything in `run/`; it counts the
 * cache values that hold each buffer, so that values stay immutable to the eye while memory is reused:
 *
 * - every cache value that a function of `run/` returns is *live* until it is disposed or consumed, once;
 * - a buffer is freed when the last live value that holds it goes;
 * - of the values that share tail memory (a family), only the newest, at the *frontier*, appends in place.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend, Prepared } from "../backends/backend.ts";
import type { Program } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer, KvCache } from "../cache/types.ts";
import { buffersOf } from "../cache/view.ts";

/** Values that share tail memory. */
export interface Family {
  /** Epoch of the value that may append in place. */
  readonly frontier: number;
  /** Live values. */
  readonly members: number;
}

/** Bookkeeping of one memory; the only mutable thing in `run/`, and only this file touches it. */
export interface Ledger {
  /** The next epoch or family. */
  next: number;
  /** Live values: epoch to family. */
  readonly live: Map<number, number>;
  /** Families with live values. */
  readonly families: Map<number, Family>;
  /** Live holders per buffer id. */
  readonly holders: Map<number, number>;
  /** Every held buffer by its id. */
  readonly buffers: Map<number, Buffer>;
  /** Maintenance programs by what they do: one per row geometry in use, so they stay few. */
  readonly programs: Map<string, Prepared>;
}

/** A backend with the record of who holds its memory. Open one per backend with {@link openMemory}. */
export interface Memory {
  /** Tag of the value. */
  readonly _tag: "Memory";
  /** Where the memory is. */
  readonly backend: Backend;
  /** Who holds what; for `run/` alone. */
  readonly ledger: Ledger;
  /** Frees what is still live. */
  readonly [Symbol.dispose]: () => void;
}

/** Opens the record of a backend's cache memory; disposing it frees every cache value that is still live. */
export function openMemory(backend: Backend): Memory {
  const ledger: Ledger = { next: 1, live: new Map(), families: new Map(), holders: new Map(), buffers: new Map(), programs: new Map() };
  const memory: Memory = { _tag: "Memory", backend, ledger, [Symbol.dispose]: () => void closeMemory(memory)() };
  return memory;
}

/** Frees every live cache value and every maintenance program. Values used later give StaleHandle. */
export const closeMemory = (memory: Memory): IOEither<KvError, void> => () => {
  const { ledger, backend } = memory;
  const results = [
    ...[...ledger.buffers.values()].map((b) => backend.free(b)()),
    ...[...ledger.programs.values()].map((p) => backend.release(p)()),
  ];
  for (const table of [ledger.live, ledger.families, ledger.holders, ledger.buffers, ledger.programs]) table.clear();
  return results.find(E.isLeft) ?? E.right(undefined);
};

/** What a new value is made of. */
export type CacheParts = Pick<KvCache, "layers" | "nextPosition" | "layout">;

/** Left if the value was disposed or consumed. */
export const checkLive = (memory: Memory, cache: KvCache): E.Either<KvError, KvCache> =>
  memory.ledger.live.get(cache.epoch) === cache.family
    ? E.right(cache)
    : E.left({ _tag: "StaleHandle", handle: `cache value ${cache.epoch} of family ${cache.family}` });

/** True if this value may write past its rows in place. */
export const atFrontier = (memory: Memory, cache: KvCache): boolean => memory.ledger.families.get(cache.family)?.frontier === cache.epoch;

/** True if another live value holds one of these buffers. */
export const isShared = (memory: Memory, buffers: ReadonlyArray<Buffer>): boolean =>
  buffers.some((b) => (memory.ledger.holders.get(b.id) ?? 0) > 1);

/** Registers a value with tail memory of its own: a new family. It holds one reference to each of its buffers. */
export function admitNew(memory: Memory, parts: CacheParts): KvCache {
  const family = memory.ledger.next++;
  return admit(memory, parts, family);
}

/** Registers a value that shares the tail memory of `from`, and moves the frontier to it. `from` stays live. */
export function admitSibling(memory: Memory, from: KvCache, parts: CacheParts): KvCache {
  return admit(memory, parts, from.family);
}

function admit(memory: Memory, parts: CacheParts, family: number): KvCache {
  const { ledger } = memory;
  const epoch = ledger.next++;
  const cache: KvCache = { _tag: "KvCache", ...parts, epoch, family };
  ledger.live.set(epoch, family);
  ledger.families.set(family, { frontier: epoch, members: (ledger.families.get(family)?.members ?? 0) + 1 });
  for (const buffer of buffersOf(cache)) {
    ledger.holders.set(buffer.id, (ledger.holders.get(buffer.id) ?? 0) + 1);
    ledger.buffers.set(buffer.id, buffer);
  }
  return cache;
}

/** Ends a value: its references go, and what nobody holds any more is freed. */
export const retire = (memory: Memory, cache: KvCache): IOEither<KvError, void> => () => {
  const live = checkLive(memory, cache);
  if (E.isLeft(live)) return live;
  const { ledger, backend } = memory;
  ledger.live.delete(cache.epoch);
  const family = ledger.families.get(cache.family);
  if (family !== undefined && family.members > 1) ledger.families.set(cache.family, { ...family, members: family.members - 1 });
  else ledger.families.delete(cache.family);
  let failed: E.Either<KvError, void> = E.right(undefined);
  for (const buffer of buffersOf(cache)) {
    const left = (ledger.holders.get(buffer.id) ?? 1) - 1;
    if (left > 0) {
      ledger.holders.set(buffer.id, left);
      continue;
    }
    ledger.holders.delete(buffer.id);
    ledger.buffers.delete(buffer.id);
    const freed = backend.free(buffer)();
    if (E.isLeft(freed)) failed = freed;
  }
  return failed;
};

/** Ends a value if the task that was to replace it fails. */
export const orRetire = (memory: Memory, cache: KvCache) => <A>(task: TaskEither<KvError, A>): TaskEither<KvError, A> => async () => {
  const result = await task();
  if (E.isLeft(result)) retire(memory, cache)();
  return result;
};

/** The next value of a loop over the same buffers: `cache` is consumed, its references and its frontier move on. */
export const succeed =
  (memory: Memory, parts: Pick<KvCache, "layers" | "nextPosition">): (cache: KvCache) => IOEither<KvError, KvCache> => (cache) => () => {
    const live = checkLive(memory, cache);
    if (E.isLeft(live)) return live;
    const { ledger } = memory;
    const epoch = ledger.next++;
    ledger.live.delete(cache.epoch);
    ledger.live.set(epoch, cache.family);
    const family = ledger.families.get(cache.family);
    if (family !== undefined && family.frontier === cache.epoch) ledger.families.set(cache.family, { ...family, frontier: epoch });
    return E.right({ ...cache, ...parts, epoch });
  };

/** A maintenance program, prepared on first use and kept for the next. */
export const program = (memory: Memory, key: string, build: () => Program): TaskEither<KvError, Prepared> => async () => {
  const known = memory.ledger.programs.get(key);
  if (known !== undefined) return E.right(known);
  const made = await memory.backend.prepare(build(), {})();
  if (E.isLeft(made)) return made;
  const { programs } = memory.ledger;
  const raced = programs.get(key);
  if (raced !== undefined) {
    const spare = memory.backend.release(made.right)();
    return E.isLeft(spare) ? spare : E.right(raced);
  }
  programs.set(key, made.right);
  return made;
};
