/**
 * What a backend is: memory, weights, prepared programs, one run. It never sees a policy.
 * @module
 */
import type { Either } from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Buffer } from "../cache/types.ts";
import type { RowCodec } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { OpName } from "./ops.ts";
import type { Program } from "./program.ts";

/** GGUF block types a weight may have. */
export type WeightType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q4_K" | "Q5_K" | "Q6_K";

/** A matrix of `rows` outputs by `cols` inputs in file order; a vector has one row. */
export interface WeightSource {
  /** Name the program refers to it by. */
  readonly name: string;
  /** Block type of `bytes`. */
  readonly type: WeightType;
  /** Outputs of the matrix. */
  readonly rows: number;
  /** Inputs of the matrix. */
  readonly cols: number;
  /** Blocks as they lie in the file; the backend copies and may repack. */
  readonly bytes: Uint8Array;
  /** How the weight will be used, so a backend can choose its layout: `matmul`, `embed`, both (tied), or `vector` (norm weights, biases: becomes f32). */
  readonly uses: ReadonlyArray<"matmul" | "embed" | "vector">;
}

/** A loaded weight. `bytes` is what the backend really holds for it. */
export interface Weight {
  /** Never reused by this backend. */
  readonly id: number;
  /** As in the source. */
  readonly name: string;
  /** Block type in the file. */
  readonly type: WeightType;
  /** Outputs of the matrix. */
  readonly rows: number;
  /** Inputs of the matrix. */
  readonly cols: number;
  /** Bytes the backend holds for it. */
  readonly bytes: number;
}

/** A program made ready on one backend: weights resolved, temporaries placed. */
export interface Prepared {
  /** Never reused by this backend. */
  readonly id: number;
  /** What was prepared. */
  readonly program: Program;
  /** Scratch this program needs while it runs, bytes (shared between programs: the backend holds the maximum). */
  readonly scratchBytes: number;
}

/** What is allocated now, bytes. `buffers` counts what `alloc` gave (rounded as really held), `weights` loaded weights, `scratch` the arena. */
export interface LiveBytes {
  /** What `alloc` gave, rounded as really held. */
  readonly buffers: number;
  /** Loaded weights as held. */
  readonly weights: number;
  /** The arena of temporaries. */
  readonly scratch: number;
  /** Encoded programs. */
  readonly programs: number;
}

/** What a plan may ask of a backend. */
export interface Caps {
  /** Largest single buffer, bytes. */
  readonly maxBufferBytes: number;
  /** Workers that share a run, 1 or more. */
  readonly threads: number;
  /** Same input gives the same bits on every machine. */
  readonly deterministic: boolean;
  /** `alloc` rounds sizes up to a multiple of this, bytes. */
  readonly alignment: number;
}

/** Buffer given for a `Bound` value; `offset` in bytes, a multiple of `caps.alignment`. */
export interface Binding {
  /** The memory that is bound. */
  readonly buffer: Buffer;
  /** Where the value starts in it, bytes; default 0. */
  readonly offset?: number;
}

/** A compute backend. Effects are lazy: nothing happens until the returned IO is called. */
export interface Backend {
  /** `reference`, `wasm-simd128`, `wasm-fast`, `webgpu`. */
  readonly name: string;
  /** What a plan may ask of this backend. */
  readonly caps: Caps;
  /** Whether the op can be run here. */
  readonly supports: (op: OpName) => boolean;
  /** Whether rows may be stored so here; absent where every codec may be. */
  readonly stores?: (codec: RowCodec) => boolean;
  /** Zero-filled memory. */
  readonly alloc: (bytes: number, label: string) => IOEither<KvError, Buffer>;
  /** Releasing twice is a StaleHandle. */
  readonly free: (buffer: Buffer) => IOEither<KvError, void>;
  /** Copies bytes into a buffer at `offset`. */
  readonly write: (buffer: Buffer, offset: number, bytes: Uint8Array) => IOEither<KvError, void>;
  /** A fresh copy of bytes [offset, offset + length). */
  readonly read: (buffer: Buffer, offset: number, length: number) => TaskEither<KvError, Uint8Array>;
  /** Copies a weight in, repacked if that is faster. */
  readonly loadWeight: (source: WeightSource) => IOEither<KvError, Weight>;
  /** Releasing twice is a StaleHandle. */
  readonly freeWeight: (weight: Weight) => IOEither<KvError, void>;
  /** Checks and encodes a program; every weight it names must be given. */
  readonly prepare: (program: Program, weights: Readonly<Record<string, Weight>>) => TaskEither<KvError, Prepared>;
  /** Forgets a prepared program. */
  readonly release: (prepared: Prepared) => IOEither<KvError, void>;
  /** Computes now (reference, Wasm) or encodes and submits (WebGPU). Every `Bound` name must be given. */
  readonly run: (prepared: Prepared, bindings: Readonly<Record<string, Binding>>) => IOEither<KvError, void>;
  /** What is allocated now. */
  readonly liveBytes: () => LiveBytes;
  /** Frees everything; later use of any handle is StaleHandle. */
  readonly close: () => Promise<void>;
  /** Calls `close`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Opens a backend. */
export type OpenBackend<Options> = (options?: Options) => TaskEither<KvError, Backend>;

/** Re-exported for signatures that need only this. */
export type Result<A> = Either<KvError, A>;
