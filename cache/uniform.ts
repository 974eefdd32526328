/**
 * The shape of a model whose layers are all alike.
 * @module
 */
import type { LayerShape, ModelShape } from "./shape.ts";

/** What must be said of a uniform model; the rest has the usual default. */
export interface UniformShape {
  /** Number of layers. */
  readonly layers: number;
  /** Heads that ask. */
  readonly queryHeads: number;
  /** Heads that are cached; divides `queryHeads`. */
  readonly kvHeads: number;
  /** Channels per key and per value. */
  readonly headDim: number;
  /** Default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Sliding window in positions; default 0, unlimited. */
  readonly window?: number;
  /** Base of the rotary angles; default 10000. */
  readonly theta?: number;
  /** Longest sequence, tokens; default 131072. */
  readonly context?: number;
}

/** A model shape of identical layers, for hosts that bring their own keys and values. */
export function uniformShape(of: UniformShape): ModelShape {
  const layer: LayerShape = {
    queryHeads: of.queryHeads,
    kvHeads: of.kvHeads,
    keyDim: of.headDim,
    valueDim: of.headDim,
    scale: of.scale ?? 1 / Math.sqrt(of.headDim),
    rope: { theta: of.theta ?? 10000, dims: of.headDim - of.headDim % 2 },
    window: of.window ?? 0,
  };
  return {
    layers: Array.from({ length: of.layers }, () => layer),
    hidden: of.queryHeads * of.headDim,
    vocab: 0,
    context: of.context ?? 131072,
  };
}
