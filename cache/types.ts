/**
 * The cache value: immutable, ragged, per layer a list of tiers, rows ascending by position.
 * @module
 */
import type { LayerShape } from "./shape.ts";

/** How rows of a tier are stored. */
export type Codec =
  /** Numbers as they are. */
  | { readonly _tag: "Plain"; readonly dtype: "f32" | "f16" }
  /** Codes with a scale and an offset per group: of `group` neighbouring channels of a row (null: of the whole row), or of one channel of
   * `group` neighbouring rows. See `cache/codec.ts`. */
  | { readonly _tag: "Affine"; readonly bits: 8 | 4 | 2; readonly axis: "token" | "channel"; readonly group: number | null }
  /** Of each row the channels that are largest in magnitude, this many of 100, as f16. See `cache/channels.ts`. */
  | { readonly _tag: "Channels"; readonly percent: number };

/** A name for backend memory. Owns nothing; every use checks that the memory behind it still lives. */
export interface Buffer {
  /** Never reused by the backend that gave it. */
  readonly id: number;
  /** Size asked for, bytes. */
  readonly bytes: number;
  /** For errors. */
  readonly label: string;
}

/** One head's rows inside a tier's buffers: slots [start, start + capacity), of which the first `length` hold rows. Units: rows. */
export interface Segment {
  /** First slot. */
  readonly start: number;
  /** Slots that hold rows. */
  readonly length: number;
  /** Slots that belong to this head. */
  readonly capacity: number;
}

/** What a tier holds beside its keys to choose rows by: minimum and maximum of every channel over each page of a head, in the codec of the
 * keys, or centroids of clusters. */
export interface PageForm {
  /** Rows of a page, or slots from one centroid to the next: at least 2. */
  readonly rows: number;
  /** The column of cluster numbers, where centroids are held: the f32 centroid of cluster c lies in the bytes of slot c * `rows` of its head.
   * Null where bounds of pages are held. */
  readonly labels: string | null;
}

/** Memory of one tier. Several cache values may share it; see {@link KvCache.family} for which one may write in place. */
export interface TierStorage {
  /** Codes of the keys. */
  readonly keys: Buffer;
  /** Codes of the values. */
  readonly values: Buffer;
  /** u32 per slot: true position of the row. */
  readonly position: Buffer;
  /** f32 per slot, by name: observations that travel with their rows. */
  readonly columns: Readonly<Record<string, Buffer>>;
  /** `pageBytes` per slot. Null where no policy asks for bounds or centroids. */
  readonly pages: PageForm & { readonly bounds: Buffer } | null;
}

/** Rows of one layer under one codec pair. `segments` has one entry per KV head. */
export interface Tier {
  /** How keys are stored. */
  readonly keyCodec: Codec;
  /** How values are stored. */
  readonly valueCodec: Codec;
  /** Memory of the rows. */
  readonly storage: TierStorage;
  /** Where each KV head's rows lie. */
  readonly segments: ReadonlyArray<Segment>;
  /** Where this tier's layout (u32 [kvHeads, 3]) lies in {@link KvCache.layout}, bytes. */
  readonly layoutOffset: number;
  /** False when the device decided the lengths and nobody has read them yet: then `length` is an upper bound. */
  readonly exact: boolean;
  /** No value may append here any more (a fork shares it). */
  readonly frozen: boolean;
}

/** A layer owns its tiers or reads those of another (layer sharing). */
export type LayerCache =
  | {
    readonly _tag: "Own";
    readonly shape: LayerShape;
    readonly tiers: ReadonlyArray<Tier>;
    /** Last `window` queries, their log-sum-exps and positions: kept by policies that score with an observation window. */
    readonly recent: RecentQueries | null;
  }
  | { readonly _tag: "Alias"; readonly shape: LayerShape; readonly layer: number };

/** Ring of the last `window` queries, oldest first. Unfilled entries have position 0xFFFFFFFF. */
export interface RecentQueries {
  /** Entries of the ring. */
  readonly window: number;
  /** f32 [window, queryHeads * keyDim], after rotation. */
  readonly queries: Buffer;
  /** f32 [window, queryHeads]. */
  readonly lse: Buffer;
  /** u32 [window]. */
  readonly position: Buffer;
}

/** The cache: one sequence. Append copies nothing when this is the newest value of its memory (see `run/`). */
export interface KvCache {
  /** Tag of the value. */
  readonly _tag: "KvCache";
  /** Every layer, in order. */
  readonly layers: ReadonlyArray<LayerCache>;
  /** Tokens seen, evicted or not: the position the next token gets. */
  readonly nextPosition: number;
  /** Device copy of every tier's layout, as last staged by a run. */
  readonly layout: Buffer;
  /** Identity of this value: a transform that consumes it retires the number, and later use is a StaleHandle. */
  readonly epoch: number;
  /** Values that share tail memory; only the newest of them appends in place, the others copy first. */
  readonly family: number;
}
