/**
 * Where ops are lowered to.
 * @module
 */
import { codecName } from "../cache/codec.ts";
import type { MapFn, RowCodec } from "../backends/ops.ts";
import type { Slot } from "../backends/program.ts";
import type { LayerShape } from "../cache/shape.ts";
import { emit } from "./draft.ts";
import type { Draft, LayerPlan, LayerSlots, LearnedForm } from "./types.ts";

/** One layer at one point. `m` is the number of queries of the run, 0 outside a forward pass. */
export interface Site {
  readonly shape: LayerShape;
  readonly plan: LayerPlan;
  readonly slots: LayerSlots;
  readonly m: number;
  /** Tokens of the prompt, which resolve shares of it. */
  readonly promptTokens: number;
  /** Rows per head that the eviction at hand keeps at least, 0 outside evictions. */
  readonly budget: number;
  /** Which layer it is, and the width of its hidden states. */
  readonly layer: number;
  readonly hidden: number;
  /** Networks of this layer by the name scores have for them. */
  readonly learned: Readonly<Record<string, LearnedForm>>;
}

/** Codec of a row operand. */
export const rowCodec = (codec: LayerPlan["keyCodec"]): RowCodec => codecName(codec);

/** Elementwise over the rows of columns. */
export const mapOp = (site: Site, fn: MapFn, a: Slot, b: Slot, out: Slot, value = 0): (draft: Draft) => Draft =>
  emit({ op: "map", args: [a, b, site.slots.layout, out], params: { fn, count: site.slots.capacity, value, heads: site.shape.kvHeads } });
