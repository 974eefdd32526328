/**
 * A program with its weights and buffers, ready to run again and again on other contents.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend, Prepared, WeightSource } from "../backends/backend.ts";
import type { Program } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer } from "../cache/types.ts";
import type { Memory } from "../run/memory.ts";
import { type Scratch, wholly, withScratch } from "../run/scratch.ts";
import { freeWeights, loadWeights } from "./weights.ts";

/** What runs, over what. */
export interface StageParts {
  readonly program: Program;
  readonly weights: ReadonlyArray<WeightSource>;
  /** Every bound value, with what it holds at first. */
  readonly buffers: ReadonlyArray<Scratch>;
}

/** A program in the hands of a backend. */
export interface Stage {
  /** Copies bytes into a buffer. */
  readonly write: (name: string, offset: number, bytes: Uint8Array) => E.Either<KvError, void>;
  readonly run: () => E.Either<KvError, void>;
  /** A copy of the first bytes of a buffer. */
  readonly read: (name: string, length: number) => Promise<E.Either<KvError, Uint8Array>>;
}

/** Uses a stage; whatever it holds is freed afterwards. */
export const withStage =
  <A>(memory: Memory, { program, weights, buffers }: StageParts, use: (stage: Stage) => TaskEither<KvError, A>): TaskEither<KvError, A> =>
  async () => {
    const { backend } = memory;
    const loaded = loadWeights(backend, weights);
    if (E.isLeft(loaded)) return loaded;
    const result = await withScratch(memory, buffers, (own) => async () => {
      const prepared = await backend.prepare(program, loaded.right)();
      if (E.isLeft(prepared)) return prepared;
      const used = await use(stageOf(backend, prepared.right, own))();
      const released = backend.release(prepared.right)();
      return E.isLeft(released) && E.isRight(used) ? released : used;
    })();
    freeWeights(backend, loaded.right);
    return result;
  };

function stageOf(backend: Backend, prepared: Prepared, buffers: Readonly<Record<string, Buffer>>): Stage {
  const bindings = wholly(buffers);
  const missing = (name: string): E.Either<KvError, never> => E.left({ _tag: "StaleHandle", handle: `buffer ${name}` });
  return {
    write: (name, offset, bytes) => {
      const buffer = buffers[name];
      return buffer === undefined ? missing(name) : backend.write(buffer, offset, bytes)();
    },
    run: () => backend.run(prepared, bindings)(),
    read: async (name, length) => {
      const buffer = buffers[name];
      return buffer === undefined ? missing(name) : await backend.read(buffer, 0, length)();
    },
  };
}
