/**
 * Opening a WebGPU backend, and the backend as a value.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Backend, Result } from "../backend.ts";
import { adopt } from "./adopt.ts";
import { type AdapterFacts, allFeatures, type Device, type Feature, foreignDevice, requestDevice } from "./device.ts";
import { hasKernel } from "./kernels.ts";
import { held, showBuffer } from "../held.ts";
import { alignment, mostBytes, openStore, release, reserve, type Store } from "./memory.ts";
import { prepare, releaseProgram } from "./programs.ts";
import { run } from "./run.ts";
import { read, write } from "./transfer.ts";
import { freeWeight, loadWeight } from "./weights.ts";

/** How to open. */
export interface WebGpuOptions {
  /** A device to use instead of one of our own. It is never destroyed here, and its buffers can be adopted. */
  readonly device?: GPUDevice;
  /** Most bytes that buffers, weights, scratch and programs may take together; default 2^32. WebGPU does not tell what a device has. */
  readonly maxBytes?: number;
  /** Largest single buffer that will be needed, bytes, where it is more than the 128 MiB every device allows; asked of the adapter. The keys of a
   * layer are one buffer: rows * KV heads * channels * bytes of a number. `"most"` asks for all that the adapter has. */
  readonly bufferBytes?: number | "most";
  /** Optional features to use where the device has them; default `["shader-f16", "subgroups"]`, and `[]` for none. Every op works without. */
  readonly features?: ReadonlyArray<Feature>;
}

/** A backend on a graphics device. */
export interface WebGpuBackend extends Backend {
  /** Who computes. */
  readonly adapter: AdapterFacts;
  /** The device, for work of one's own on it: the caller's, or one that is destroyed with the backend. */
  readonly device: GPUDevice;
  /** Makes a buffer of the caller's device usable here; it stays the caller's, and `free` only forgets it. Left(ShapeMismatch) if its size or
   * usage does not do, if it belongs to another device, or if it was destroyed. */
  readonly adopt: (buffer: GPUBuffer, label: string) => TaskEither<KvError, Buffer>;
  /** The memory behind a buffer, for work of one's own on the same device. */
  readonly gpuBuffer: (buffer: Buffer) => E.Either<KvError, GPUBuffer>;
}

const defaultMaxBytes = 2 ** 32;

/** Opens a WebGPU backend. Left(NoDevice) without WebGPU, without an adapter, or without a limit that is asked for; Left(InvalidArgument) for
 * numbers out of range; Left(DeviceLost) for a caller's device that is gone.
 *
 * ```ts
 * import { isRight } from "fp-ts/Either.js";
 * const opened = await openWebGpu()();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   console.log(backend.adapter.name);
 * }
 * ```
 */
export const openWebGpu = (options: WebGpuOptions = {}): TaskEither<KvError, WebGpuBackend> => async () => {
  const invalid = checkOptions(options);
  if (invalid !== null) return E.left(invalid);
  const features = options.features ?? allFeatures;
  const device = options.device === undefined
    ? await requestDevice({ bufferBytes: options.bufferBytes ?? null, features })
    : await checkForeign(foreignDevice(options.device, features));
  return pipe(device, E.map((ready) => backendOf(openStore(ready, options.maxBytes ?? defaultMaxBytes))));
};

function checkOptions({ maxBytes, bufferBytes, features = [] }: WebGpuOptions): KvError | null {
  const unknown = features.find((feature) => !allFeatures.includes(feature));
  if (unknown !== undefined) {
    return { _tag: "InvalidArgument", argument: "features", value: String(unknown), allowed: allFeatures.join(" or ") };
  }
  for (const [argument, value] of Object.entries({ maxBytes, bufferBytes })) {
    if (value === undefined || (argument === "bufferBytes" && value === "most")) continue;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) continue;
    const allowed = argument === "bufferBytes" ? 'a whole number from 0, or "most"' : "a whole number from 0";
    return { _tag: "InvalidArgument", argument, value: String(value), allowed };
  }
  return null;
}

/** A device that is lost already says so at once. */
async function checkForeign(device: Device): Promise<Result<Device>> {
  await Promise.race([device.gpu.lost, Promise.resolve()]);
  return pipe(device.check(), E.map(() => device));
}

function backendOf(store: Store): WebGpuBackend {
  const open = (): Result<void> => store.isOpen ? store.device.check() : E.left({ _tag: "StaleHandle", handle: "the backend webgpu" });
  return {
    name: "webgpu",
    adapter: store.device.facts,
    device: store.device.gpu,
    caps: { maxBufferBytes: Math.min(store.maxBytes, mostBytes(store.device)), threads: 1, deterministic: false, alignment },
    supports: hasKernel,
    alloc: (bytes, label) => () => pipe(open(), E.chain(() => alloc(store, bytes, label))),
    adopt: (gpu, label) => async () => {
      const ready = open();
      return E.isLeft(ready) ? ready : await adopt(store, gpu, label);
    },
    gpuBuffer: (buffer) => pipe(held(store.buffers, buffer.id, showBuffer(buffer)), E.map(({ gpu }) => gpu)),
    free: (buffer) => () => free(store, buffer),
    write: (buffer, offset, bytes) => () => write(store, buffer, offset, bytes),
    read: (buffer, offset, length) => read(store, buffer, offset, length),
    loadWeight: (source) => () => pipe(open(), E.chain(() => loadWeight(store, source))),
    freeWeight: (weight) => () => freeWeight(store, weight),
    prepare: (program, weights) => async () => {
      const ready = open();
      return E.isLeft(ready) ? ready : await prepare(store, program, weights);
    },
    release: (prepared) => () => releaseProgram(store, prepared),
    run: (prepared, bindings) => () => run(store, prepared, bindings),
    liveBytes: () => store.live,
    close: () => close(store),
    [Symbol.asyncDispose]: () => close(store),
  };
}

function alloc(store: Store, bytes: number, label: string): Result<Buffer> {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    return E.left({ _tag: "InvalidArgument", argument: "bytes", value: String(bytes), allowed: "a whole number from 0" });
  }
  return pipe(
    reserve(store, "buffers", bytes, label),
    E.map((gpu) => {
      const buffer: Buffer = { id: store.nextId++, bytes, label };
      store.buffers.set(buffer.id, { buffer, gpu, isAdopted: false });
      return buffer;
    }),
  );
}

const free = (store: Store, buffer: Buffer): Result<void> =>
  pipe(
    held(store.buffers, buffer.id, showBuffer(buffer)),
    E.map(({ gpu, isAdopted }) => {
      store.buffers.delete(buffer.id);
      if (!isAdopted) release(store, "buffers", gpu);
    }),
  );

/** Destroys what is ours; buffers and a device of the caller's live on. */
function close(store: Store): Promise<void> {
  if (!store.isOpen) return Promise.resolve();
  store.isOpen = false;
  const own = [
    ...[...store.buffers.values()].flatMap(({ gpu, isAdopted }) => isAdopted ? [] : [gpu]),
    ...[...store.weights.values()].flatMap(({ tiles }) => tiles.map(({ gpu }) => gpu)),
    ...[...store.programs.values()].map(({ params }) => params),
    ...store.regions.splice(0),
    store.status,
    store.empty,
  ];
  for (const gpu of own) gpu.destroy();
  for (const table of [store.buffers, store.weights, store.programs, store.pipelines, store.unread]) table.clear();
  store.live = { buffers: 0, weights: 0, scratch: 0, programs: 0 };
  store.device.close();
  return Promise.resolve();
}
