/**
 * The device: asked for with the limits and features that are needed, watched for loss and for errors that arrive late.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Result } from "../backend.ts";

/** Optional features of devices that have a use here. */
export type Feature = "shader-f16" | "subgroups";

/** All of them. */
export const allFeatures: ReadonlyArray<Feature> = ["shader-f16", "subgroups"];

/** Who made the graphics adapter, as far as it tells. */
export interface AdapterFacts {
  /** Vendor, architecture and description in words. */
  readonly name: string;
  /** True for an adapter in software. */
  readonly isSoftware: boolean;
  /** Optional features that are used. */
  readonly features: ReadonlyArray<Feature>;
}

/** A device in use. */
export interface Device {
  readonly gpu: GPUDevice;
  readonly facts: AdapterFacts;
  /** True if it was made here and is destroyed here. */
  readonly isOwn: boolean;
  /** Left once the device was lost, or has refused something it should have done. */
  readonly check: () => Result<void>;
  /** The same, after a moment in which a loss that caused an error can become known. */
  readonly settled: () => Promise<Result<void>>;
  /** Waits until loss is known, if there is one, and tells. */
  readonly verdict: (because: string) => Promise<KvError>;
  /** Makes a buffer; that there was no memory for it arrives later, and counts as the loss of the device. */
  readonly watched: (make: () => GPUBuffer) => GPUBuffer;
  /** Stops watching; a device of ours is destroyed. */
  readonly close: () => void;
}

/** What to ask for. */
export interface DeviceWish {
  /** Largest buffer that will be needed, bytes; as much as the adapter has. */
  readonly bufferBytes: number | "most" | null;
  /** Features to use where the adapter has them. */
  readonly features: ReadonlyArray<Feature>;
}

const noDevice = (because: string): E.Either<KvError, never> => E.left({ _tag: "NoDevice", backend: "webgpu", because });

/** A device of our own. NoDevice if there is no WebGPU, no adapter, or an adapter without the limit that is needed. */
export async function requestDevice({ bufferBytes, features }: DeviceWish): Promise<E.Either<KvError, Device>> {
  if (globalThis.navigator?.gpu === undefined) return noDevice("this runtime has no WebGPU");
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (adapter === null) return noDevice("WebGPU is here, but no graphics adapter");
  const limits = wantedLimits(adapter.limits, bufferBytes);
  if (E.isLeft(limits)) return limits;
  const has = features.filter((feature) => adapter.features.has(feature));
  try {
    const gpu = await adapter.requestDevice({ label: "kvfold", requiredFeatures: has as GPUFeatureName[], requiredLimits: limits.right });
    return E.right(watch(gpu, factsOf(adapter.info, has), true));
  } catch (thrown) {
    return noDevice(`the adapter gives no device: ${String(thrown)}`);
  }
}

/** Limits beyond the defaults, as far as they are needed. */
function wantedLimits(limits: GPUSupportedLimits, bufferBytes: DeviceWish["bufferBytes"]): E.Either<KvError, Record<string, number>> {
  if (bufferBytes === null) return E.right({});
  const { maxBufferSize, maxStorageBufferBindingSize } = limits;
  if (bufferBytes === "most") return E.right({ maxBufferSize, maxStorageBufferBindingSize });
  const wanted = { maxBufferSize: bufferBytes, maxStorageBufferBindingSize: bufferBytes };
  const [standardBuffer, standardBinding] = [2 ** 28, 2 ** 27];
  for (const [name, needed] of Object.entries(wanted)) {
    const available = name === "maxBufferSize" ? maxBufferSize : maxStorageBufferBindingSize;
    if (needed > available) return noDevice(`its ${name} is ${available}, and ${needed} bytes are needed`);
  }
  return E.right({
    maxBufferSize: Math.max(bufferBytes, standardBuffer),
    maxStorageBufferBindingSize: Math.max(bufferBytes, standardBinding),
  });
}

const factsOf = (info: GPUAdapterInfo | undefined, features: ReadonlyArray<Feature>): AdapterFacts => {
  // Some runtimes give numbers of a registry for vendor and device, which tell a person nothing.
  const words = [info?.vendor, info?.architecture, info?.device, info?.description].filter((word) =>
    word !== undefined && !/^\d*$/.test(word)
  );
  const name = words.join(" ") || "an adapter that does not say its name";
  return { name, isSoftware: info?.isFallbackAdapter === true || /llvmpipe|swiftshader|lavapipe/i.test(name), features };
};

/** The caller's device, of whose features these are used. */
export const foreignDevice = (gpu: GPUDevice, features: ReadonlyArray<Feature>): Device =>
  watch(gpu, factsOf(gpu.adapterInfo, features.filter((feature) => gpu.features.has(feature))), false);

/** Listens for loss and for late errors. */
function watch(gpu: GPUDevice, facts: AdapterFacts, isOwn: boolean): Device {
  const state: { lost: KvError | null; isClosed: boolean } = { lost: null, isClosed: false };
  const lose = (because: string): void => {
    if (!state.isClosed) state.lost ??= { _tag: "DeviceLost", backend: "webgpu", because };
  };
  gpu.lost.then(({ reason, message }) => lose(message || `its device is gone (${reason})`)).catch(() => lose("its device is gone"));
  const onError = (event: Event): void =>
    lose("error" in event && event.error instanceof GPUError ? event.error.message : "an error without words");
  gpu.addEventListener("uncapturederror", onError);
  const check = (): Result<void> => state.lost === null ? E.right(undefined) : E.left(state.lost);
  const settled = async (): Promise<Result<void>> => {
    await Promise.race([gpu.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
    await Promise.resolve();
    return check();
  };
  return {
    gpu,
    facts,
    isOwn,
    check,
    settled,
    verdict: async (because) => {
      await settled();
      lose(because);
      return state.lost ?? { _tag: "DeviceLost", backend: "webgpu", because };
    },
    watched: (make) => {
      gpu.pushErrorScope("out-of-memory");
      const made = make();
      gpu.popErrorScope().then((error) => {
        if (error !== null) lose(`it has no memory left: ${error.message}`);
      }).catch(() => undefined);
      return made;
    },
    close: () => {
      state.isClosed = true;
      gpu.removeEventListener("uncapturederror", onError);
      if (isOwn) gpu.destroy();
    },
  };
}
