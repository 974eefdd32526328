/**
 * Prepared programs of one model, kept for the next run: decoding runs the same one for every token.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend, Prepared, Weight } from "../backends/backend.ts";
import type { Program } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";

/** The programs that are ready, least recently used first: the one mutable part of a model. */
export interface Programs {
  /** Where programs run. */
  readonly backend: Backend;
  /** Weights by name. */
  readonly weights: Readonly<Record<string, Weight>>;
  /** By what the program depends on. */
  readonly ready: Map<string, Prepared>;
  /** Most programs kept. */
  readonly limit: number;
}

/** No programs yet. */
export const openPrograms = (backend: Backend, weights: Programs["weights"], limit: number): Programs => ({
  backend,
  weights,
  ready: new Map(),
  limit,
});

/** The program that `key` stands for, prepared now if it is not at hand; then the least recently used ones beyond the limit
 * are released. */
export const prepared = (programs: Programs, key: string, build: () => Program): TaskEither<KvError, Prepared> => async () => {
  const { backend, weights, ready } = programs;
  if (!ready.has(key)) {
    const made = await backend.prepare(build(), weights)();
    if (E.isLeft(made)) return made;
    if (!ready.has(key)) ready.set(key, made.right);
    else backend.release(made.right)();
  }
  const found = ready.get(key);
  if (found === undefined) return E.left({ _tag: "StaleHandle", handle: `program ${key}` });
  ready.delete(key);
  ready.set(key, found);
  const released = release(programs, [...ready.keys()].slice(0, Math.max(0, ready.size - programs.limit)));
  return E.isLeft(released) ? released : E.right(found);
};

/** Releases every program. */
export const closePrograms = (programs: Programs): IOEither<KvError, void> => () => release(programs, [...programs.ready.keys()]);

function release({ backend, ready }: Programs, keys: ReadonlyArray<string>): E.Either<KvError, void> {
  const results = keys.map((key) => {
    const old = ready.get(key);
    ready.delete(key);
    return old === undefined ? E.right(undefined) : backend.release(old)();
  });
  return results.find(E.isLeft) ?? E.right(undefined);
}
