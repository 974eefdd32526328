/**
 * What a cache will hold before any weight is loaded: from the model's shape, a policy and a number of tokens, by the same planner that a
 * real run uses. Grouped heads, sliding windows, codecs, shared layers and columns are counted; the room that allocation leaves free is not.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import { fullBytes } from "../cache/bytes.ts";
import { rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { Codec } from "../cache/types.ts";
import { pageBytes } from "../cache/view.ts";
import { planBlocks, type PlannedBlock } from "../plan/blocks.ts";
import { planPolicy } from "../plan/plan.ts";
import type { LayerPlan, LearnedForm, Target } from "../plan/types.ts";
import type { Policy } from "../policy/types.ts";
import { type Proposal, proposalOf } from "./proposal.ts";

/** What is estimated for. */
export interface EstimateOptions {
  /** Of the model. */
  readonly shape: ModelShape;
  /** Length of the prompt, tokens. */
  readonly tokens: number;
  /** Tokens per run of the prefill. */
  readonly chunk: number;
  /** How rows are stored where the policy does not say. */
  readonly codec: Codec;
}

/** The cache of one policy after a prefill. */
export interface Estimate {
  /** Its text. */
  readonly policy: string;
  /** Rows kept, over all layers and heads. */
  readonly rowsKept: number;
  /** Rows of the uncompressed cache. */
  readonly rowsTotal: number;
  /** Bytes held after the prefill. */
  readonly bytes: number;
  /** Bytes held when the cache is largest during the prefill. */
  readonly peakBytes: number;
  /** Bytes of the uncompressed cache in f16. */
  readonly bytesFull: number;
  /** Rows against precision, where the policy trades them; else null. */
  readonly proposal: Proposal | null;
  /** True if the policy keeps what passes a threshold: then rows and bytes are what it keeps at most. */
  readonly atMost: boolean;
}

/** Estimates one policy. Left for whatever the planner would refuse.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { uniformShape } from "../cache/uniform.ts";
 * const shape = uniformShape({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 });
 * const all = estimate({ _tag: "Policy", blocks: [], text: "keepall" }, { shape, tokens: 1000, chunk: 256, codec: { _tag: "Plain", dtype: "f16" } });
 * // Each of 4000 rows: key and value of 64 channels in two bytes, and four bytes of position.
 * assertEquals(E.isRight(all) && all.right.bytes, 4000 * (2 * 64 * 2 + 4));
 * ```
 */
export function estimate(policy: Policy, options: EstimateOptions): Either<KvError, Estimate> {
  const { shape, tokens, chunk } = options;
  const target = targetOf(policy, options);
  const plan = planPolicy(policy, target);
  if (E.isLeft(plan)) return plan;
  const owns = (layer: number): boolean => plan.right.layers[layer]?.readsFrom === layer;
  const blocks = planBlocks(policy, target, owns);
  if (E.isLeft(blocks)) return blocks;
  const proposal = proposalOf(policy, target);
  if (E.isLeft(proposal)) return proposal;
  const layers = shape.layers.flatMap((layer, l) => {
    const planned = plan.right.layers[l];
    return planned === undefined || !owns(l) ? [] : [layerOf(layer, planned, blocks.right[l] ?? [], tokens, chunk)];
  });
  const sum = (of: (layer: LayerEstimate) => number): number => layers.reduce((total, layer) => total + of(layer), 0);
  return E.right({
    policy: policy.text,
    rowsKept: sum(({ kept }) => kept),
    rowsTotal: shape.layers.reduce((total, { kvHeads }) => total + kvHeads * tokens, 0),
    bytes: sum(({ kept, perRow, passed, perPassed, ring, ringLasts }) =>
      (kept - passed) * perRow + passed * perPassed + (ringLasts ? ring : 0)
    ),
    peakBytes: sum(({ peak, perRow, ring }) => peak * perRow + ring),
    bytesFull: fullBytes(shape, tokens),
    proposal: proposal.right,
    atMost: layers.some(({ atMost }) => atMost),
  });
}

/** Planning for no backend in particular, one that has every op, and with every network that the policy names: none is in the cache. */
const targetOf = (policy: Policy, { shape, tokens, chunk, codec }: EstimateOptions): Target => ({
  shape,
  transforms: true,
  learned: Object.fromEntries(
    policy.blocks.flatMap((b) => b.verbs).flatMap((v) =>
      "score" in v && (v.score._tag === "Learned" || v.score._tag === "Gate") ? [v.score] : []
    ).map((
      { _tag, name },
    ) => [name, shape.layers.map((): LearnedForm => _tag === "Gate" ? { _tag: "KeyGate", inner: 1 } : { _tag: "Linear" })]),
  ),
  reconstructs: true,
  promptTokens: tokens,
  chunk,
  codec,
  backend: {
    name: "estimate",
    caps: { maxBufferBytes: Number.MAX_SAFE_INTEGER, threads: 1, deterministic: true, alignment: 1 },
    supports: () => true,
  },
});

interface LayerEstimate {
  /** Rows over the heads of the layer, after the prefill and at most during it. */
  readonly kept: number;
  readonly peak: number;
  readonly perRow: number;
  /** Of the rows kept, those in the store, and the bytes of one of them. */
  readonly passed: number;
  readonly perPassed: number;
  /** Bytes of the ring of recent queries, and whether it stays after the prompt. */
  readonly ring: number;
  readonly ringLasts: boolean;
  readonly atMost: boolean;
}

function layerOf(shape: LayerShape, plan: LayerPlan, blocks: ReadonlyArray<PlannedBlock>, tokens: number, chunk: number): LayerEstimate {
  // A row that has left the sliding window is never read again.
  const readable = shape.window > 0 ? Math.min(tokens, shape.window) : tokens;
  const evictions = blocks.filter(({ moment: { _tag } }) => _tag === "PrefillEnd" || _tag === "Append" || _tag === "Chunk")
    .flatMap(({ verbs }) => verbs).flatMap((verb) => verb._tag === "Evict" ? [verb.limit] : []);
  const rows = evictions.reduce((left, limit) => limit._tag === "Rows" ? Math.min(left, limit.rows) : left, readable);
  const limit = Math.min(readable, plan.rowsBound ?? readable);
  const position = 4;
  const { store } = plan;
  const passes = blocks.some(({ moment, verbs }) => moment._tag !== "Step" && verbs.some((v) => v._tag === "Encode" && v.below === null));
  const passed = store === null || !passes ? 0 : Math.floor(Math.max(0, rows - store.recent) / store.group) * store.group;
  return {
    kept: shape.kvHeads * rows,
    passed: shape.kvHeads * passed,
    perPassed: store === null ? 0 : rowBytes(store.keyCodec, shape.keyDim) + rowBytes(store.valueCodec, shape.valueDim) + position,
    // A bounded layer holds its bound and the chunk that has just been appended.
    peak: shape.kvHeads * Math.min(tokens, limit < tokens ? limit + chunk : tokens),
    perRow: rowBytes(plan.keyCodec, shape.keyDim) + rowBytes(plan.valueCodec, shape.valueDim) + position + 4 * plan.columns.length +
      pageBytes(plan.keyCodec, shape.keyDim, plan.pages?.rows ?? 0),
    ring: plan.recentQueries * (shape.queryHeads * (shape.keyDim + 1) + 1) * 4,
    ringLasts: plan.ringLasts,
    atMost: evictions.some(({ _tag }) => _tag === "Above") ||
      blocks.some(({ verbs }) => verbs.some((v) => v._tag === "Encode" && v.below !== null)),
  };
}
