/**
 * Linear memory of one backend: who holds how many bytes of it, by kind, exactly.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { LiveBytes, Prepared, Result, Weight } from "../backend.ts";
import type { Encoded, Need } from "./encode.ts";
import { extend, give, type Heap, missing, openHeap, rounded, take } from "./heap.ts";
import { type Instance, pageBytes } from "./instance.ts";
import type { Pace } from "./pace.ts";
import type { Helpers } from "./workers.ts";

/** A place in linear memory, bytes. */
export interface Region {
  readonly address: number;
  readonly bytes: number;
}

/** A buffer and its memory. */
export interface HeldBuffer extends Region {
  readonly buffer: Buffer;
}

/** A weight, its memory, and how the kernels see it. */
export interface HeldWeight extends Region {
  readonly weight: Weight;
  /** Index of the type among `weightTypes`. */
  readonly type: number;
  /** Bits 1 matmul, 2 embed, 4 vector. */
  readonly uses: number;
}

/** A prepared program, its words in memory, and the arena its table was last written for. */
export interface HeldProgram extends Region {
  readonly prepared: Prepared;
  readonly encoded: Encoded;
  readonly weights: ReadonlyArray<HeldWeight>;
  /** What each run binds: slot, name, and what it must hold at least, where that is known. */
  readonly bound: ReadonlyArray<{ readonly slot: number; readonly name: string; readonly need: Need | null }>;
  arena: number;
  /** Weights freed so far when its own were last seen alive. */
  freed: number;
  /** How fast it has been on how many threads. */
  pace: Pace;
}

/** The state of one backend value; nothing outside it refers to it. Ids count up and are never used again. */
export interface Store {
  readonly instance: Instance;
  readonly heap: Heap;
  readonly maxBytes: number;
  readonly threads: number;
  /** May the caller's thread sleep while helpers finish? */
  readonly mayWait: boolean;
  readonly helpers: Helpers;
  readonly buffers: Map<number, HeldBuffer>;
  readonly weights: Map<number, HeldWeight>;
  /** Weights freed so far. */
  freed: number;
  readonly programs: Map<number, HeldProgram>;
  arena: Region;
  nextId: number;
  live: LiveBytes;
  /** Why no run is possible any more, or null. */
  lost: KvError | null;
  bytes: Uint8Array<ArrayBufferLike>;
  words: Uint32Array<ArrayBufferLike>;
}

/** What a store is opened with. */
export type StoreParts = Pick<Store, "instance" | "maxBytes" | "threads" | "mayWait" | "heap" | "helpers">;

/** The heap of a fresh instance. */
export const heapOf = ({ heapBase, memory }: Instance): Heap => openHeap(heapBase, memory.buffer.byteLength);

/** An empty store. */
export const openStore = (parts: StoreParts): Store => ({
  ...parts,
  buffers: new Map(),
  weights: new Map(),
  freed: 0,
  programs: new Map(),
  arena: { address: 0, bytes: 0 },
  nextId: 1,
  live: { buffers: 0, weights: 0, scratch: 0, programs: 0 },
  lost: null,
  bytes: new Uint8Array(parts.instance.memory.buffer),
  words: new Uint32Array(parts.instance.memory.buffer),
});

/** Everything held, bytes. */
export const inUse = ({ live }: Store): number => live.buffers + live.weights + live.scratch + live.programs;

/** Memory of one kind, as it was left by its last owner. Nothing is held for 0 bytes. */
export function reserve(store: Store, kind: keyof LiveBytes, bytes: number): Result<Region> {
  const size = rounded(bytes);
  const address = size === 0 ? store.instance.heapBase : take(store.heap, size) ?? grow(store, size);
  if (address === null) return E.left({ _tag: "OutOfMemory", requested: bytes, inUse: inUse(store), limit: store.maxBytes });
  store.live = { ...store.live, [kind]: store.live[kind] + size };
  return E.right({ address, bytes: size });
}

/** Gives a region back. */
export function release(store: Store, kind: keyof LiveBytes, { address, bytes }: Region): void {
  if (bytes > 0) give(store.heap, address, bytes);
  store.live = { ...store.live, [kind]: store.live[kind] - bytes };
}

/** Grows memory until `size` bytes are free at its end; their address, or null. Growing by whole MiB keeps the calls few. */
function grow(store: Store, size: number): number | null {
  const { memory } = store.instance;
  const step = 16 * pageBytes;
  const needed = memory.buffer.byteLength + missing(store.heap, size);
  const end = Math.min(Math.ceil(needed / step) * step, Math.floor(store.maxBytes / pageBytes) * pageBytes);
  if (needed > end) return null;
  try {
    memory.grow((end - memory.buffer.byteLength) / pageBytes);
  } catch {
    return null;
  }
  // Growth detaches or shortens what views saw.
  store.bytes = new Uint8Array(memory.buffer);
  store.words = new Uint32Array(memory.buffer);
  extend(store.heap, end);
  return take(store.heap, size);
}

/** Makes the arena as large as the most demanding program needs; it has no content between runs. */
export function fitArena(store: Store, bytes: number): Result<void> {
  if (rounded(bytes) === store.arena.bytes) return E.right(undefined);
  const before = store.arena;
  release(store, "scratch", before);
  const region = reserve(store, "scratch", bytes);
  if (E.isRight(region)) {
    store.arena = region.right;
    return E.right(undefined);
  }
  // What was free a moment ago still is: nothing ran between.
  const again = reserve(store, "scratch", before.bytes);
  store.arena = E.isRight(again) ? again.right : { address: store.instance.heapBase, bytes: 0 };
  return region;
}
