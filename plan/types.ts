/**
 * What planning gives: per layer storage decisions, and for each moment a pure function that splices the policy's ops
 * into a program under construction.
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";
import type { Codec, PageForm } from "../cache/types.ts";
import type { ModelShape } from "../cache/shape.ts";
import type { Policy, Port, Score, Verb } from "../policy/types.ts";
import type { Caps } from "../backends/backend.ts";
import type { Instr, Slot, Value } from "../backends/program.ts";
import type { OpName } from "../backends/ops.ts";

/** What a policy is planned for. */
export interface Target {
  /** The model. */
  readonly shape: ModelShape;
  /** What the backend calls itself, can hold and can do. */
  readonly backend: {
    readonly name: string;
    readonly caps: Caps;
    readonly supports: (op: OpName) => boolean;
    readonly stores?: (codec: RowCodec) => boolean;
  };
  /** Tokens of the prompt, which resolve Share and Pyramid budgets. */
  readonly promptTokens: number;
  /** Largest number of tokens one run appends. */
  readonly chunk: number;
  /** Codec of rows where no block says otherwise. */
  readonly codec: Codec;
  /** Whether the host has calibrated transforms for this model; default not. */
  readonly transforms?: boolean;
  /** The networks that learned scores may name, each with its form per layer; none if left out. */
  readonly learned?: Readonly<Record<string, ReadonlyArray<LearnedForm>>>;
  /** True where the host has the model read its prompt again for scores by reconstruction. */
  readonly reconstructs?: boolean;
}

/** A column that the host fills before the end of the prompt: the score of every row of these layers by reconstruction. */
export interface Reconstruction {
  /** Name of the column. */
  readonly column: string;
  /** What it holds. */
  readonly score: Extract<Score, { readonly _tag: "Reconstruction" }>;
  /** Ascending. */
  readonly layers: ReadonlyArray<number>;
}

/** What computes a learned score of a layer, one number a token and KV head: from the hidden state, or from the keys. */
export type LearnedForm =
  /** W x + b. */
  | { readonly _tag: "Linear" }
  /** W2 gelu(W1 x + b1) + b2, gelu in its exact form; `inner` is the length of b1. */
  | { readonly _tag: "Mlp"; readonly inner: number }
  /** What a token's own key wins of its own query among learned sinks, mean over the query heads of a KV head; `inner` channels per head. */
  | { readonly _tag: "Gate"; readonly inner: number; readonly sinks: number }
  /** Of each KV head its own sigmoid(w2 gelu(W1 x + b1) + b2), x its key before and its key after rotation, each under an RMS norm; `inner`
   * is the length of b1 per head. */
  | { readonly _tag: "KeyGate"; readonly inner: number };

/** The tier that older rows of a layer pass on to. */
export interface StorePlan {
  /** How keys are stored there. */
  readonly keyCodec: Codec;
  /** How values are stored there. */
  readonly valueCodec: Codec;
  /** Newest positions whose rows stay in the tail. */
  readonly recent: number;
  /** Rows that pass on together. */
  readonly group: number;
  /** True if rows that lie there are still judged: then they keep the layer's columns. */
  readonly judged: boolean;
  /** True if at most one row a head passes on after a decoded token. */
  readonly single: boolean;
}

/** How one layer's rows are stored under a policy. */
export interface LayerPlan {
  /** How keys are stored. */
  readonly keyCodec: Codec;
  /** How values are stored. */
  readonly valueCodec: Codec;
  /** Layer whose rows are read; itself if it owns them. */
  readonly readsFrom: number;
  /** How rows are stored once they pass on, or null if they never do. */
  readonly store: StorePlan | null;
  /** Columns that rows carry, with the value of a new row. */
  readonly columns: ReadonlyArray<{ readonly name: string; readonly initial: number }>;
  /** Length of the ring of recent queries, 0 for none. */
  readonly recentQueries: number;
  /** True if the ring is looked at after the prompt as well. */
  readonly ringLasts: boolean;
  /** Most rows per head this layer can hold after its Append blocks, or null if it grows with the text. */
  readonly rowsBound: number | null;
  /** The bounds or centroids that are held, or null for neither. */
  readonly pages: PageForm | null;
  /** True if rows leave by a threshold while text is read: then memory grows with what stays instead of being there for all. */
  readonly thinned: boolean;
}

/** A program under construction. Immutable: every step returns a longer one. */
export interface Draft {
  /** Values by slot. */
  readonly values: ReadonlyArray<Value>;
  /** Ops in order. */
  readonly body: ReadonlyArray<Instr>;
}

/** Where the rows that have passed on are in a draft. */
export interface StoreSlots extends Pick<LayerSlots, "keys" | "values" | "position" | "layout" | "columns" | "capacity"> {
}

/** Where one layer's things are in a draft. The tail tier is the one rows are appended to and evicted from. */
export interface LayerSlots {
  /** Rotated queries of this run, f32 [M, Hq, keyDim], or NONE outside a forward pass. */
  readonly queries: Slot;
  /** f32 [M, Hq], the log-sum-exp over all tiers, or NONE. */
  readonly lse: Slot;
  /** u32 [M]. */
  readonly queryPosition: Slot;
  /** f32 [M, hidden]: what enters the attention block after its input norm (the tensor that queries, keys and values are projected from),
   * or NONE outside a forward pass. */
  readonly hidden: Slot;
  /** f32 [M, Hkv, keyDim]: the run's keys before rotation, where the policy observes them, or NONE. */
  readonly rawKeys: Slot;
  /** f32 [M, Hkv, keyDim]: the same after rotation, or NONE. */
  readonly newKeys: Slot;
  /** f32 [M, Hkv]: the classes of the run's tokens (0, 1 special, 2 punctuation), the same for every head, or NONE. */
  readonly tokenClass: Slot;
  /** u32 [1], the newest position. */
  readonly newest: Slot;
  /** Rows of the tail tier's keys. */
  readonly keys: Slot;
  /** Rows of the tail tier's values. */
  readonly values: Slot;
  /** u32 per slot of the tail tier. */
  readonly position: Slot;
  /** Layout of the tail tier. */
  readonly layout: Slot;
  /** Remembered columns by name. */
  readonly columns: Readonly<Record<string, Slot>>;
  /** The tier that older rows pass on to, or null. */
  readonly store: StoreSlots | null;
  /** Bounds of the tail tier's pages, or NONE. */
  readonly bounds: Slot;
  /** Slots in the tail tier's storage: the length of its columns. */
  readonly capacity: number;
  /** Ring of recent queries, or null. */
  readonly recent: { readonly queries: Slot; readonly lse: Slot; readonly position: Slot } | null;
}

/** Rows that a query reads: u32 indices from the first slot of each head on, and how many per head. */
export interface Selected {
  /** u32 per slot: indices of the chosen rows within their segment, ascending. */
  readonly keep: Slot;
  /** u32 per KV head: how many. */
  readonly counts: Slot;
}

/** Points of a run at which policy ops are spliced in. `step` carries the number of decoded tokens so far (from 1) for `Every`. */
export type SplicePoint =
  | { readonly _tag: "AfterChunk"; readonly m: number }
  | { readonly _tag: "PrefillEnd" }
  | { readonly _tag: "AfterStep"; readonly every: ReadonlyArray<number> };

/** Numbers that ops of a plan read under this name, the same in every run. */
export interface PlanTable {
  /** What it is bound to. */
  readonly name: string;
  /** In the order of the op's operand. */
  readonly numbers: Float32Array;
}

/** Rows as coefficients of calibrated transforms. */
export type TransformPlan = Omit<Extract<Verb, { readonly _tag: "Transform" }>, "_tag">;

/** What a plan was made of, beside the model and the backend. */
export interface PlanSource extends Pick<Target, "promptTokens" | "chunk" | "codec"> {
  /** The policy. */
  readonly policy: Policy;
}

/** Names under which a cache's memory is bound: `L3.keys`, `L3.column.mass`, `L3.recent.lse`, … */
export interface PolicyPlan {
  /** Short text form of the policy. */
  readonly text: string;
  /** What was planned, and for what: planning it again for the same model gives the same plan. */
  readonly source: PlanSource;
  /** Storage of each layer. */
  readonly layers: ReadonlyArray<LayerPlan>;
  /** How rows are stored between the end of the prompt and what follows, or null if as they are attended to. */
  readonly coding: TransformPlan | null;
  /** Periods n of the policy's Every(n) blocks, ascending. */
  readonly periods: ReadonlyArray<number>;
  /** What the policy observes. */
  readonly ports: ReadonlySet<Port>;
  /** True if some layer can lose rows at this point (then lengths must be read back afterwards). */
  readonly evictsAt: (point: SplicePoint) => boolean;
  /** True if older rows of this layer may pass on to its store at this point. */
  readonly passesAt: (point: SplicePoint, layer: number) => boolean;
  /** True if rows or columns that are there already are judged or written at this point, in a store or in the tail. */
  readonly judgesAt: (point: SplicePoint) => boolean;
  /** True if this layer's query reads some rows only at this point; how many is written to `L{layer}.reads`. */
  readonly selectsAt: (point: SplicePoint, layer: number) => boolean;
  /** What must be bound to run the plan's ops, beside the cache. */
  readonly tables: ReadonlyArray<PlanTable>;
  /** True if positions become contiguous at the end of prefill, after all else. */
  readonly rerotates: boolean;
  /** True if some op changes rows or columns that are already there (then the cache must own its memory alone; see `run/reserve.ts`).
   * False means that splicing at this point adds nothing. */
  readonly rewritesAt: (point: SplicePoint) => boolean;
  /** Appends the ops that choose the rows this layer's query is to read, ahead of its attention; null where it reads all. */
  readonly select: (point: SplicePoint, layer: number, slots: LayerSlots) => (draft: Draft) => readonly [Selected | null, Draft];
  /** Appends the ops of this layer at this point. */
  readonly splice: (point: SplicePoint, layer: number, slots: LayerSlots) => (draft: Draft) => Draft;
  /** What the host finds out by reading the prompt again, before the ops of its end. */
  readonly reconstructions: ReadonlyArray<Reconstruction>;
  /** Layers whose heads compete with those of other layers at this point, ascending; `splice` adds nothing there. */
  readonly jointAt: (point: SplicePoint) => ReadonlyArray<number>;
  /** Appends the ops of those layers at this point, each with its slots. */
  readonly spliceJoint: (
    point: SplicePoint,
    layers: ReadonlyArray<{ readonly layer: number; readonly slots: LayerSlots }>,
  ) => (draft: Draft) => Draft;
  /** The plan as text, one line per op family and layer range: golden files under `tests/` pin it. */
  readonly describe: string;
}
