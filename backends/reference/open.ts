/**
 * The reference backend as a value.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Backend, LiveBytes, Prepared, Result, Weight, WeightSource } from "../backend.ts";
import { checkWeight } from "../blocks.ts";
import { checkProgram } from "../check.ts";
import type { Program } from "../program.ts";
import { decodeBlocks } from "../block_numbers.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import { admit, alignment, bufferBytes, checkOpen, openStore, reserve, rounded, type Store, weightBytesHeld } from "./memory.ts";
import { hasKernel, runProgram, scratchBytes, type Weights } from "./run.ts";

/** Limits of a reference backend. */
export interface ReferenceOptions {
  /** Most bytes that buffers, weights and the scratch of a run may take together; default 2^34. */
  readonly maxBytes?: number;
}

const defaultMaxBytes = 2 ** 34;

/** Opens the oracle: plain loops, f64 inside, f32 at the edges, the same bits every time. Left if `maxBytes` is not a whole
 * number from 0.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isRight } from "fp-ts/Either.js";
 * const opened = await openReference()();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   backend.alloc(20, "rows")();
 *   assertEquals(backend.liveBytes().buffers, 32);
 * }
 * ```
 */
export const openReference = (options: ReferenceOptions = {}): TaskEither<KvError, Backend> => () => {
  const maxBytes = options.maxBytes ?? defaultMaxBytes;
  return Promise.resolve(
    Number.isSafeInteger(maxBytes) && maxBytes >= 0
      ? E.right(backendOf(openStore(maxBytes)))
      : E.left({ _tag: "InvalidArgument", argument: "maxBytes", value: String(maxBytes), allowed: "a whole number from 0" }),
  );
};

function backendOf(store: Store): Backend {
  const weightsOf = new Map<number, Weights>();
  const close = (): Promise<void> => {
    store.isOpen = false;
    for (const table of [store.buffers, store.weights, store.programs, weightsOf]) table.clear();
    return Promise.resolve();
  };
  return {
    name: "reference",
    caps: { maxBufferBytes: Math.min(store.maxBytes, 2 ** 32), threads: 1, deterministic: true, alignment },
    supports: hasKernel,
    alloc: (bytes, label) => () => pipe(checkOpen(store), E.chain(() => alloc(store, bytes, label))),
    free: (buffer) => () => drop(store.buffers, buffer.id, showBuffer(buffer)),
    write: (buffer, offset, bytes) => () => pipe(window(store, buffer, offset, bytes.length), E.map((to) => to.set(bytes))),
    read: (buffer, offset, length) => () => Promise.resolve(pipe(window(store, buffer, offset, length), E.map((from) => from.slice()))),
    loadWeight: (source) => () => pipe(checkOpen(store), E.chain(() => loadWeight(store, source))),
    freeWeight: (weight) => () => drop(store.weights, weight.id, `weight ${weight.name}`),
    prepare: (program, weights) => () =>
      Promise.resolve(pipe(
        checkOpen(store),
        E.chain(() => prepare(store, program, weights)),
        E.map((prepared) => {
          weightsOf.set(prepared.id, weights);
          return prepared;
        }),
      )),
    release: (prepared) => () => {
      weightsOf.delete(prepared.id);
      return drop(store.programs, prepared.id, showProgram(prepared));
    },
    run: (prepared, bindings) => () =>
      pipe(
        held(store.programs, prepared.id, showProgram(prepared)),
        E.chain((known) => runProgram(store, known, weightsOf.get(known.id) ?? {}, bindings)),
      ),
    liveBytes: () => liveBytes(store),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const showProgram = ({ program, id }: Prepared): string => `program ${program.label} (#${id})`;

/** Scratch lives only while a run lasts, and programs take no memory of the backend's own. */
const liveBytes = (store: Store): LiveBytes => ({ buffers: bufferBytes(store), weights: weightBytesHeld(store), scratch: 0, programs: 0 });

function alloc(store: Store, bytes: number, label: string): Result<Buffer> {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    return E.left({ _tag: "InvalidArgument", argument: "bytes", value: String(bytes), allowed: "a whole number from 0" });
  }
  return pipe(
    reserve(store, bytes),
    E.map((memory) => {
      const buffer: Buffer = { id: store.nextId++, bytes, label };
      store.buffers.set(buffer.id, { buffer, memory });
      return buffer;
    }),
  );
}

/** Bytes [offset, offset + length) of a live buffer. */
const window = (store: Store, buffer: Buffer, offset: number, length: number): Result<Uint8Array> =>
  pipe(
    held(store.buffers, buffer.id, showBuffer(buffer)),
    E.chain(({ memory, buffer: { bytes } }) =>
      pipe(checkRange(showBuffer(buffer), offset, length, bytes), E.map(() => memory.subarray(offset, offset + length)))
    ),
  );

const drop = <A>(among: Map<number, A>, id: number, handle: string): Result<void> =>
  pipe(
    held(among, id, handle),
    E.map(() => {
      among.delete(id);
    }),
  );

/** Decodes at once, so that `Weight.bytes` is what is held from the start: 4 bytes per number, and no blocks. */
const loadWeight = (store: Store, source: WeightSource): Result<Weight> =>
  pipe(
    checkWeight(source),
    E.chain(() => admit(store, source.rows * source.cols * 4)),
    E.map(() => {
      const { name, type, rows, cols } = source;
      const numbers = decodeBlocks(type, source.bytes, rows * cols);
      const weight: Weight = { id: store.nextId++, name, type, rows, cols, bytes: rounded(numbers.byteLength) };
      store.weights.set(weight.id, { weight, numbers: new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength) });
      return weight;
    }),
  );

function prepare(store: Store, program: Program, weights: Weights): Result<Prepared> {
  for (const weight of Object.values(weights)) {
    const live = held(store.weights, weight.id, `weight ${weight.name}`);
    if (E.isLeft(live)) return live;
  }
  return pipe(
    checkProgram(program, weights),
    E.map((checked) => {
      const prepared: Prepared = { id: store.nextId++, program: checked, scratchBytes: scratchBytes(checked) };
      store.programs.set(prepared.id, prepared);
      return prepared;
    }),
  );
}
