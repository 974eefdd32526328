/**
 * Parameters of the ops in `cluster_ops.ts`, `future_ops.ts` and `channel_ops.ts`: the end of the table of `op_types.ts`.
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";

/** All static for a prepared program. */
export interface GroupOpParams {
  /** Groups rows that have no label by the direction of their keys. */
  readonly kmeans: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly per: number;
    readonly count: number;
    readonly sinks: number;
    readonly iterations: number;
    readonly seed: number;
    readonly stride: number;
  };
  /** Means of the keys of each label. */
  readonly centroids: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly stride: number;
    readonly rowBytes: number;
  };
  /** Makes positions contiguous and turns keys accordingly. */
  readonly rerotate: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly dims: number;
    readonly count: number;
  };
  /** Attention that queries to come are expected to pay. */
  readonly expectedAttention: {
    readonly queries: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly keyCodec: RowCodec;
    readonly dims: number;
    readonly scale: number;
    readonly sinks: number;
    readonly spread: boolean;
  };
  /** Chooses the channels of keys that go, and zeroes them in some rows. */
  readonly dropChannels: {
    readonly queries: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly keyCodec: RowCodec;
    readonly drop: number;
  };
  /** What the centroid of a row's label promises. */
  readonly clusterScores: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly dim: number;
    readonly stride: number;
    readonly rowBytes: number;
  };
}
