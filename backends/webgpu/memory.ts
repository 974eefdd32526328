/**
 * What one backend holds on its device: buffers, weights, programs and scratch, and how many bytes each of them takes.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Buffer } from "../../cache/types.ts";
import type { LiveBytes, Prepared, Result, Weight } from "../backend.ts";
import type { Program } from "../program.ts";
import type { Device } from "./device.ts";
import type { Dispatch, TileRows } from "./kernel.ts";

/** Sizes round up to a multiple of this, and bindings start at one: what every device allows. Bytes. */
export const alignment = 256;

/** A buffer on the device; one that was adopted belongs to the caller and is never destroyed here. */
export interface HeldBuffer {
  readonly buffer: Buffer;
  readonly gpu: GPUBuffer;
  readonly isAdopted: boolean;
}

/** Rows of a weight in a buffer of their own, so that none is larger than a binding may be. */
export interface HeldTile extends TileRows {
  readonly gpu: GPUBuffer;
}

/** A weight in its blocks, or a vector as f32. */
export interface HeldWeight {
  readonly weight: Weight;
  readonly isVector: boolean;
  readonly tiles: ReadonlyArray<HeldTile>;
}

/** A dispatch that is ready: its pipeline, and where its parameters lie. */
export interface ReadyDispatch {
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  readonly scratchRegion: number;
}

/** What lies behind a slot in a run. */
export interface Place {
  readonly gpu: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** A dispatch with the memory of the last run. */
export interface Encoded {
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** A prepared program, and what its last run was bound to. */
export interface HeldProgram {
  readonly prepared: Prepared;
  readonly weights: ReadonlyMap<number, HeldWeight>;
  readonly dispatches: ReadonlyArray<ReadyDispatch>;
  /** Bytes of each region of scratch, and which region each temporary is in. */
  readonly regions: ReadonlyArray<number>;
  readonly regionOf: ReadonlyMap<number, number>;
  readonly params: GPUBuffer;
  places: ReadonlyArray<Place>;
  encoded: ReadonlyArray<Encoded>;
}

/** The state of one backend value; nothing outside it refers to it. Ids count up and are never used again. */
export interface Store {
  readonly device: Device;
  readonly maxBytes: number;
  readonly buffers: Map<number, HeldBuffer>;
  readonly weights: Map<number, HeldWeight>;
  readonly programs: Map<number, HeldProgram>;
  readonly pipelines: Map<string, Promise<GPUComputePipeline>>;
  /** Writes a part of a word; null until something asks for that. */
  poke: GPUComputePipeline | null;
  /** Scratch that all programs share: runs follow one another on the queue. */
  readonly regions: GPUBuffer[];
  /** Complaint of a run: code, instruction, program. */
  readonly status: GPUBuffer;
  /** Bound where an operand is absent. */
  readonly empty: GPUBuffer;
  /** Programs that have run since the status was read. */
  readonly unread: Map<number, Program>;
  nextId: number;
  live: LiveBytes;
  isOpen: boolean;
}

const storage = (): number => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

/** Bytes as they are held. */
export const rounded = (bytes: number): number => Math.max(1, Math.ceil(bytes / alignment)) * alignment;

/** Memory that belongs to nobody's count: it is there as long as the backend. */
export const fixture = ({ gpu }: Device, label: string): GPUBuffer => gpu.createBuffer({ label, size: alignment, usage: storage() });

/** An empty store. */
export const openStore = (device: Device, maxBytes: number): Store => ({
  device,
  maxBytes,
  buffers: new Map(),
  weights: new Map(),
  programs: new Map(),
  pipelines: new Map(),
  poke: null,
  regions: [],
  status: fixture(device, "status"),
  empty: fixture(device, "empty"),
  unread: new Map(),
  nextId: 1,
  live: { buffers: 0, weights: 0, scratch: 0, programs: 0 },
  isOpen: true,
});

/** Everything held, bytes. */
export const inUse = ({ live }: Store): number => live.buffers + live.weights + live.scratch + live.programs;

/** Most bytes of one buffer: it must fit one binding. */
export const mostBytes = ({ gpu: { limits } }: Device): number => {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  return most - most % alignment;
};

/** What a device must allow for one buffer, in words. */
const oneBuffer = "bytes of one buffer on this device of webgpu, which more can be asked of where its adapter has more (bufferBytes)";

/** Zeroed memory of one kind. Before the device is asked: OverLimit if it is larger than a binding may be, OutOfMemory beyond the limit. */
export function reserve(store: Store, kind: keyof LiveBytes, bytes: number, label: string, usage: number = storage()): Result<GPUBuffer> {
  const size = rounded(bytes);
  const one = mostBytes(store.device);
  if (size > one) return E.left({ _tag: "OverLimit", limit: oneBuffer, needed: size, available: one });
  if (inUse(store) + size > store.maxBytes) {
    return E.left({ _tag: "OutOfMemory", requested: bytes, inUse: inUse(store), limit: store.maxBytes });
  }
  const alive = store.device.check();
  if (E.isLeft(alive)) return alive;
  store.live = { ...store.live, [kind]: store.live[kind] + size };
  return E.right(store.device.watched(() => store.device.gpu.createBuffer({ label, size, usage })));
}

/** Gives memory back. Work that is queued still sees it. */
export function release(store: Store, kind: keyof LiveBytes, gpu: GPUBuffer): void {
  store.live = { ...store.live, [kind]: store.live[kind] - gpu.size };
  gpu.destroy();
}
