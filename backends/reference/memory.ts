/**
 * What a reference backend holds: buffers, decoded weights and programs by id, and how many bytes that is.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { Prepared, Weight } from "../backend.ts";
import type { Buffer } from "../../cache/types.ts";
import type { KvError } from "../../cache/error.ts";
import { stale } from "../held.ts";

/** `alloc` rounds sizes up to a multiple of this, and offsets of bindings are multiples of it. Bytes. */
export const alignment = 16;

/** One buffer's memory, padded to the alignment. */
export interface HeldBuffer {
  readonly buffer: Buffer;
  readonly memory: Uint8Array;
}

/** One weight, decoded: the bytes of f32 [rows, cols]. */
export interface HeldWeight {
  readonly weight: Weight;
  readonly numbers: Uint8Array;
}

/** The state of one backend value; nothing outside it refers to it. Ids count up and are never used again. */
export interface Store {
  readonly buffers: Map<number, HeldBuffer>;
  readonly weights: Map<number, HeldWeight>;
  readonly programs: Map<number, Prepared>;
  readonly maxBytes: number;
  nextId: number;
  isOpen: boolean;
}

/** An empty store. */
export const openStore = (maxBytes: number): Store => ({
  buffers: new Map(),
  weights: new Map(),
  programs: new Map(),
  maxBytes,
  nextId: 1,
  isOpen: true,
});

/** Bytes as they are held. */
export const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** Bytes of all buffers. */
export const bufferBytes = (store: Store): number => total(store.buffers, ({ memory }) => memory.length);

/** Bytes of all weights. */
export const weightBytesHeld = (store: Store): number => total(store.weights, ({ weight }) => weight.bytes);

const total = <A>(held: ReadonlyMap<number, A>, bytes: (a: A) => number): number =>
  [...held.values()].reduce((sum, a) => sum + bytes(a), 0);

/** Right if the limit allows this many bytes more. */
export function admit(store: Store, bytes: number): E.Either<KvError, void> {
  const inUse = bufferBytes(store) + weightBytesHeld(store);
  if (inUse + rounded(bytes) <= store.maxBytes) return E.right(undefined);
  return E.left({ _tag: "OutOfMemory", requested: bytes, inUse, limit: store.maxBytes });
}

/** Fresh zeroed memory, if the limit and the machine allow it. */
export const reserve = (store: Store, bytes: number): E.Either<KvError, Uint8Array> =>
  pipe(
    admit(store, bytes),
    E.chain(() =>
      E.tryCatch(
        () => new Uint8Array(rounded(bytes)),
        (): KvError => ({
          _tag: "OutOfMemory",
          requested: bytes,
          inUse: bufferBytes(store) + weightBytesHeld(store),
          limit: store.maxBytes,
        }),
      )
    ),
  );

/** Left once the backend is closed. */
export const checkOpen = (store: Store): E.Either<KvError, void> => store.isOpen ? E.right(undefined) : stale("the reference backend");
