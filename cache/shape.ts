/**
 * What a policy and a plan must know about a model: per layer heads, dims, rotary parameters and window.
 * @module
 */

/** Rotary embedding of one layer: pairs (i, i + dims/2) rotate by `position * theta^(-2i/dims) / divisors[i]`. */
export interface Rope {
  /** Base of the angles. */
  readonly theta: number;
  /** Rotated channels per head, even, at most the key dim. */
  readonly dims: number;
  /** Per pair, length dims/2; absent means all 1 (Llama 3.1 scaling bakes its rule into these). */
  readonly divisors?: ReadonlyArray<number>;
}

/** One layer's attention geometry. */
export interface LayerShape {
  /** Heads that ask. */
  readonly queryHeads: number;
  /** Heads that are cached; divides `queryHeads`. */
  readonly kvHeads: number;
  /** Channels of a key and of a query. */
  readonly keyDim: number;
  /** Channels of a value. */
  readonly valueDim: number;
  /** Multiplies q·k, usually 1/sqrt(keyDim). */
  readonly scale: number;
  /** How keys and queries rotate. */
  readonly rope: Rope;
  /** Sliding window in positions, itself included; 0 means unlimited. */
  readonly window: number;
}

/** Everything the cache side needs; the forward pass has more of its own. */
export interface ModelShape {
  /** Every layer, in order. */
  readonly layers: ReadonlyArray<LayerShape>;
  /** Channels of the residual stream. */
  readonly hidden: number;
  /** Tokens in the vocabulary. */
  readonly vocab: number;
  /** Longest sequence the model was made for, tokens. */
  readonly context: number;
}
