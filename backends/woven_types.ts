/**
 * Parameters of the ops over two tiers at once; see `woven_ops.ts`.
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";

/** Parameters per op. */
export interface WovenParams {
  /** Two tiers as one list of rows. */
  readonly weave: { readonly heads: number };
  /** The rows of a woven list. */
  readonly weaveRows: {
    readonly heads: number;
    readonly dim: number;
    readonly firstCodec: RowCodec;
    readonly secondCodec: RowCodec;
    readonly wovenCodec: RowCodec;
  };
  /** Which rows of a woven list are whose. */
  readonly unweave: { readonly heads: number };
  /** Puts the newest arrivals where their positions belong. */
  readonly insertRows: { readonly heads: number; readonly rowBytes: number };
  /** How many queries have weighed a row. */
  readonly queriesSeen: { readonly heads: number; readonly prompt: number; readonly window: number };
  /** The one row per head that passes on or leaves. */
  readonly demote: { readonly heads: number; readonly high: number; readonly low: number; readonly recent: number };
}
