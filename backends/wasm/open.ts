/**
 * Opening a Wasm backend, and the backend as a value.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Backend, Result } from "../backend.ts";
import { type OpName, ops } from "../ops.ts";
import { alignment, extend, type Heap, openHeap, rounded, take } from "./heap.ts";
import { type Build, buildOf, compile, type Instance, instantiate, moduleBytes, noSharedMemory, pageBytes } from "./instance.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import { type HeldBuffer, openStore, release, reserve, type Store } from "./memory.ts";
import { prepare, releaseProgram, run } from "./programs.ts";
import { loadWeight } from "./weights.ts";
import { type Helpers, mayWait, noHelpers, openHelpers, sharedBytes, stackBytes } from "./workers.ts";

/** How to open. */
export interface WasmOptions {
  /** `fast`: relaxed SIMD and threads over shared memory. `simd128`: one thread, the same bits on every machine. `auto`, the
   * default: `fast` where it works, else `simd128`. */
  readonly build?: Build | "auto";
  /** Threads of `fast`, 1 to 64, the caller's included; default the cores of the machine, at most 8. */
  readonly threads?: number;
  /** Bits that activations are rounded to where they meet weights in blocks: 16, the default, which leaves logits of SmolLM2 within an NMSE of
   * 1e-6 of those that f32 gives; or 8, as llama.cpp rounds them, which is faster with 4-bit weights and leaves some 4e-3. */
  readonly activations?: 8 | 16;
  /** Most linear memory, bytes, at least 4 MiB; default 4 GiB, the most there is. */
  readonly maxMemoryBytes?: number;
  /** The kernels, instead of those that come with this package: a rebuilt module of the same version. */
  readonly module?: WebAssembly.Module | Uint8Array<ArrayBuffer>;
}

const mostMemory = 2 ** 32;
const leastMemory = 2 ** 22;
const mostThreads = 64;

/** Opens the Wasm backend. Left(InvalidArgument) for numbers out of range, Left(NoDevice) where the build asked for cannot run.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isRight } from "fp-ts/Either.js";
 * const opened = await openWasm({ build: "simd128" })();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   backend.alloc(20, "rows")();
 *   assertEquals([backend.name, backend.liveBytes().buffers], ["wasm-simd128", 64]);
 * }
 * ```
 */
export const openWasm = (options: WasmOptions = {}): TaskEither<KvError, Backend> => async () => {
  const invalid = checkOptions(options);
  if (invalid !== null) return E.left(invalid);
  const first = await attempt(options);
  const isChoice = (options.build ?? "auto") === "auto" && options.module === undefined;
  // A host may promise shared memory and then refuse so much of it, or refuse workers.
  if (E.isRight(first) || !isChoice || first.left._tag !== "NoDevice") return first;
  return await attempt({ ...options, build: "simd128" });
};

/** One way of opening. */
async function attempt(options: WasmOptions): Promise<E.Either<KvError, Backend>> {
  const module = await chooseModule(options);
  if (E.isLeft(module)) return module;
  const maxBytes = options.maxMemoryBytes ?? mostMemory;
  const instance = await instantiate(module.right, maxBytes);
  if (E.isLeft(instance)) return instance;
  instance.right.kernels.chooseEightBits(options.activations === 8 ? 1 : 0);
  return await start(instance.right, maxBytes, options.threads ?? Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, 8));
}

function checkOptions({ build = "auto", threads, activations = 16, maxMemoryBytes }: WasmOptions): KvError | null {
  const whole = (value: number | undefined, from: number, to: number): boolean =>
    value === undefined || (Number.isSafeInteger(value) && value >= from && value <= to);
  const invalid = (argument: string, value: unknown, allowed: string): KvError => ({
    _tag: "InvalidArgument",
    argument,
    value: String(value),
    allowed,
  });
  if (!["auto", "fast", "simd128"].includes(build)) return invalid("build", build, "auto, fast or simd128");
  if (!whole(threads, 1, build === "simd128" ? 1 : mostThreads)) {
    return invalid("threads", threads, build === "simd128" ? "1 for the build simd128" : `a whole number from 1 to ${mostThreads}`);
  }
  if (activations !== 8 && activations !== 16) return invalid("activations", activations, "8 or 16");
  if (whole(maxMemoryBytes, leastMemory, mostMemory)) return null;
  return invalid("maxMemoryBytes", maxMemoryBytes, `a whole number from ${leastMemory} to ${mostMemory}`);
}

/** The module to run: the caller's, or the one that the wishes and the host allow. */
async function chooseModule({ build = "auto", module }: WasmOptions): Promise<E.Either<KvError, WebAssembly.Module>> {
  if (module !== undefined) {
    const compiled = module instanceof WebAssembly.Module ? E.right(module) : await compile(build === "auto" ? "fast" : build, module);
    return pipe(compiled, E.chain((found) => checkBuild(build, found)));
  }
  const obstacle = build === "simd128" ? null : noSharedMemory();
  if (build === "fast" && obstacle !== null) return E.left({ _tag: "NoDevice", backend: "wasm-fast", because: obstacle });
  if (build !== "simd128" && obstacle === null) {
    const bytes = await moduleBytes("fast");
    if (build === "fast" || WebAssembly.validate(bytes)) return await compile("fast", bytes);
  }
  return await compile("simd128", await moduleBytes("simd128"));
}

function checkBuild(build: Build | "auto", module: WebAssembly.Module): E.Either<KvError, WebAssembly.Module> {
  const found = buildOf(module);
  const obstacle = found === "fast" ? noSharedMemory() : null;
  if (obstacle !== null) return E.left({ _tag: "NoDevice", backend: "wasm-fast", because: obstacle });
  if (build === "auto" || build === found) return E.right(module);
  return E.left({ _tag: "InvalidArgument", argument: "module", value: `the build ${found}`, allowed: `the build ${build}` });
}

/** Takes memory for the threads' common state and stacks, starts helpers, makes the value. */
async function start(instance: Instance, maxBytes: number, wanted: number): Promise<E.Either<KvError, Backend>> {
  const threads = instance.build === "fast" ? wanted : 1;
  const heap = openHeap(instance.heapBase, instance.memory.buffer.byteLength);
  const region = own(instance, heap, sharedBytes + (threads - 1) * stackBytes, maxBytes);
  if (E.isLeft(region)) return region;
  const helpers: E.Either<KvError, Helpers> = threads === 1
    ? E.right(noHelpers(region.right))
    : await openHelpers(instance, region.right, threads);
  return pipe(helpers, E.map((helpers) => backendOf(openStore({ instance, maxBytes, threads, heap, helpers, mayWait: mayWait() }))));
}

/** Memory that belongs to the threads and is not counted as anybody's. */
function own({ memory }: Instance, heap: Heap, bytes: number, maxBytes: number): Result<number> {
  const found = take(heap, bytes);
  if (found !== null) return E.right(found);
  const pages = Math.ceil(rounded(bytes) / pageBytes);
  try {
    memory.grow(pages);
    extend(heap, memory.buffer.byteLength);
    return E.right(take(heap, bytes) ?? 0);
  } catch {
    return E.left({ _tag: "OutOfMemory", requested: bytes, inUse: memory.buffer.byteLength, limit: maxBytes });
  }
}

function backendOf(store: Store): Backend {
  const name = `wasm-${store.instance.build}`;
  let isOpen = true;
  const open = (): Result<void> => isOpen ? E.right(undefined) : E.left({ _tag: "StaleHandle", handle: `the backend ${name}` });
  const close = (): Promise<void> => {
    if (isOpen) {
      isOpen = false;
      store.helpers.close();
      for (const table of [store.buffers, store.weights, store.programs]) table.clear();
      store.live = { buffers: 0, weights: 0, scratch: 0, programs: 0 };
    }
    return Promise.resolve();
  };
  return {
    name,
    caps: {
      maxBufferBytes: store.maxBytes - store.instance.heapBase,
      threads: store.threads,
      deterministic: store.instance.build === "simd128",
      alignment,
    },
    supports: (op: OpName) => Object.hasOwn(ops, op),
    alloc: (bytes, label) => () => pipe(open(), E.chain(() => alloc(store, bytes, label))),
    free: (buffer) => () => drop(store, "buffers", store.buffers, buffer.id, showBuffer(buffer)),
    write: (buffer, offset, bytes) => () => pipe(window(store, buffer, offset, bytes.length), E.map((to) => to.set(bytes))),
    read: (buffer, offset, length) => () =>
      Promise.resolve(pipe(window(store, buffer, offset, length), E.map((from) => new Uint8Array(from)))),
    loadWeight: (source) => () => pipe(open(), E.chain(() => loadWeight(store, source))),
    freeWeight: (weight) => () => {
      store.freed++;
      return drop(store, "weights", store.weights, weight.id, `weight ${weight.name}`);
    },
    prepare: (program, weights) => () => Promise.resolve(pipe(open(), E.chain(() => prepare(store, program, weights)))),
    release: (prepared) => () => releaseProgram(store, prepared),
    run: (prepared, bindings) => () => run(store, prepared, bindings),
    liveBytes: () => store.live,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function alloc(store: Store, bytes: number, label: string): Result<Buffer> {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    return E.left({ _tag: "InvalidArgument", argument: "bytes", value: String(bytes), allowed: "a whole number from 0" });
  }
  return pipe(
    reserve(store, "buffers", bytes),
    E.map((region) => {
      const buffer: Buffer = { id: store.nextId++, bytes, label };
      store.bytes.fill(0, region.address, region.address + region.bytes);
      store.buffers.set(buffer.id, { ...region, buffer });
      return buffer;
    }),
  );
}

/** Bytes [offset, offset + length) of a live buffer. */
const window = (store: Store, buffer: Buffer, offset: number, length: number): Result<Uint8Array> =>
  pipe(
    held(store.buffers, buffer.id, showBuffer(buffer)),
    E.chain(({ address, buffer: { bytes } }: HeldBuffer) =>
      pipe(
        checkRange(showBuffer(buffer), offset, length, bytes),
        E.map(() => store.bytes.subarray(address + offset, address + offset + length)),
      )
    ),
  );

/** Takes a handle out of its table and its memory back. */
const drop = <A extends { readonly address: number; readonly bytes: number }>(
  store: Store,
  kind: "buffers" | "weights",
  among: Map<number, A>,
  id: number,
  handle: string,
): Result<void> =>
  pipe(
    held(among, id, handle),
    E.map((region) => {
      among.delete(id);
      release(store, kind, region);
    }),
  );
