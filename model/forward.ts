/**
 * The forward pass of Llama, Qwen2 and Qwen3 as a program, with a policy's ops spliced into each layer after attention.
 *
 * Bound at run time: `ids` u32 [M], `positions` u32 [M], `newest` u32 [1], `rope.{i}` f32 [M, dims] for each rotation of the model
 * (see `ropesOf`), `logits` f32 [rows, vocab] where logits are wanted or `token` u32 [1], and the cache's memory by the names of `run/`.
 * Weights have their GGUF names.
 * @module
 */
import { pipe } from "fp-ts/function.js";
import type * as S from "fp-ts/State.js";
import type { OpParams } from "../backends/ops.ts";
import { NONE, type Program, type Slot } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { KvCache } from "../cache/types.ts";
import { type OwnLayer, ownLayers } from "../cache/view.ts";
import { bound, emit, emptyDraft, finish, temp, weight } from "../plan/draft.ts";
import type { Draft, LayerSlots, PolicyPlan, SplicePoint } from "../plan/types.ts";
import { jointOps } from "../run/joint.ts";
import { tailOf } from "../run/resize.ts";
import { attendLayer, className, layerSlots, type QuerySlots, slotsFor } from "../run/slots.ts";
import { ropesOf } from "./rope.ts";
import type { ModelSpec } from "./types.ts";

/** Rows of logits a run gives: none, that of the last token, or one per token; or in the place of the last token's the id of the largest. */
export type LogitRows = "none" | "last" | "all" | "token";

/** A run to build a program for. */
export interface Forward {
  readonly spec: ModelSpec;
  readonly plan: PolicyPlan;
  /** The cache the run appends to: its tiers, capacities, codecs and columns are what the program is for. */
  readonly cache: KvCache;
  /** `AfterChunk` for text, `AfterStep` for a decoded token. */
  readonly point: Exclude<SplicePoint, { readonly _tag: "PrefillEnd" }>;
  /** Tokens of the run. */
  readonly m: number;
  readonly logits: LogitRows;
}

/** A run, with which rotation each layer uses. */
interface Run extends Forward {
  readonly ropeOf: ReadonlyArray<number>;
}

/** Adds a value to a program; adds ops to a program. */
type Build = S.State<Draft, Slot>;
type Ops = (draft: Draft) => Draft;

/** The program of one run of `m` tokens: their rows are appended, the policy acts, logits are written where wanted. */
export const forward = (run: Forward): Program => {
  const { shape: { layers }, name } = run.spec;
  const f: Run = { ...run, ropeOf: ropesOf(layers).of };
  const [x, embedded] = embed(f)(emptyDraft);
  const [end, body] = layers.reduce<readonly [Slot, Draft]>(
    ([residual, draft], _, l) => block(f, l, residual, l === layers.length - 1 ? f.logits : "all")(draft),
    [x, embedded],
  );
  const label = `${name} ${f.plan.text}: ${f.m} tokens, ${f.point._tag}, logits ${f.logits}`;
  return finish(label)(f.logits === "none" ? body : head(f, end)(body));
};

/** The program of the policy's ops at the end of prefill; its body is empty where the policy has none. */
export const prefillEnd = ({ spec, plan, cache }: Pick<Forward, "spec" | "plan" | "cache">): Program => {
  const point: SplicePoint = { _tag: "PrefillEnd" };
  const layers = ownLayers(cache).reduce((draft: Draft, { index, own }) => {
    const [slots, ready] = layerSlots(index, own)(draft);
    const spliced = plan.splice(point, index, slots)(ready);
    return spliced.body.length === draft.body.length ? draft : spliced;
  }, emptyDraft);
  return finish(`${spec.name} ${plan.text}: end of prefill`)(jointOps(plan, point, cache)(layers));
};

const embed = ({ spec: { shape: { hidden: dim } }, m }: Run): Build => (draft) => {
  const [table, d1] = weight("token_embd.weight")(draft);
  const [ids, d2] = bound("ids")(d1);
  const [x, d3] = temp("residual", m * dim * 4)(d2);
  return [x, emit({ op: "embed", args: [table, ids, x], params: { m, dim, scale: 1 } })(d3)];
};

/** One transformer block: the residual stream after it, of which the last layer keeps only the rows that give logits. */
const block = (f: Run, l: number, x: Slot, wanted: LogitRows): Build => (draft) => {
  const { m, spec: { shape: { hidden, layers }, ffn } } = f;
  const { queryHeads, valueDim } = layerOf(layers, l);
  const width = queryHeads * valueDim;
  const rows = rowsOf(wanted, m);
  const [h, d1] = norm(f, `blk.${l}.attn_norm`, x, m)(draft);
  const [all, d2] = attention(f, l, h)(d1);
  if (rows === 0) return [x, d2];
  const [residual, d3] = lastRows(m, rows, hidden, x)(d2);
  const [attended, d4] = lastRows(m, rows, width, all)(d3);
  const d5 = project(`blk.${l}.attn_output`, attended, residual, { m: rows, n: hidden, k: width, accumulate: true })(d4);
  const [inner, d6] = norm(f, `blk.${l}.ffn_norm`, residual, rows)(d5);
  return [residual, feedForward(l, inner, residual, rows, hidden, ffn[l] ?? 0)(d6)];
};

/** Queries, keys and values of this run; rows appended; attention over all tiers; then the policy. A layer that reads
 * another's rows has queries only. */
const attention = (f: Run, l: number, h: Slot): Build => (draft) => {
  const { spec, cache, m } = f;
  const { queryHeads, valueDim } = layerOf(spec.shape.layers, l);
  const stored = cache.layers[l];
  const own = stored?._tag === "Own" ? stored : null;
  const [position, d1] = bound("positions")(draft);
  const [queries, d2] = projected(f, l, "q", h, queryHeads)(d1);
  // Products of the same input stand together: it is then rounded once.
  const [fresh, projectedAll] = own === null ? [null, d2] : projectRows(f, l, own, h)(d2);
  const turned = rotate(f, l, queries, queryHeads)(projectedAll);
  const [keys, d3] = own === null || fresh === null ? [noKeys, turned] : appendRows(f, l, own, fresh, position)(turned);
  const [out, d4] = temp(`L${l} attended`, m * queryHeads * valueDim * 4)(d3);
  const [lse, d5] = temp(`L${l} lse`, m * queryHeads * 4)(d4);
  const slots: QuerySlots = { queries, position, out, lse, m };
  if (own === null) return [out, attendLayer(cache, l, slots)(d5)];
  const [tail, d6] = layerSlots(l, own)(d5);
  const seen = { ...tail, ...keys, queries, lse, queryPosition: position, hidden: h };
  const [chosen, d7] = f.plan.select(f.point, l, seen)(d6);
  return [out, policyOps(f, l, own, seen)(attendLayer(cache, l, slots, chosen)(d7))];
};

/** A projection to heads, normalised per head where the architecture does. */
const projected = (f: Run, l: number, which: "q" | "k", h: Slot, heads: number): Build => (draft) => {
  const { spec, m } = f;
  const { keyDim: dim } = layerOf(spec.shape.layers, l);
  const name = `blk.${l}.attn_${which}`;
  const [x, next] = linear(name, h, { m, n: heads * dim, k: spec.shape.hidden }, spec.qkvBias)(draft);
  return [x, spec.qkNorm ? normInto(f, `${name}_norm`, x, x, m * heads, dim)(next) : next];
};

/** Rotates in place. */
const rotate = ({ spec, m, ropeOf }: Run, l: number, x: Slot, heads: number): Ops => (draft) => {
  const { keyDim: dim, rope: { dims } } = layerOf(spec.shape.layers, l);
  const [table, next] = bound(`rope.${ropeOf[l] ?? 0}`)(draft);
  return emit({ op: "rope", args: [x, table], params: { m, heads, dim, dims } })(next);
};

/** The keys of a run, before rotation only where the policy observes them. */
type RunKeys = Pick<LayerSlots, "rawKeys" | "newKeys">;
const noKeys: RunKeys = { rawKeys: NONE, newKeys: NONE };

/** Keys and values of a run, before rotation. */
interface Fresh {
  readonly keys: Slot;
  readonly values: Slot;
}

const projectRows = (f: Run, l: number, { shape: { kvHeads, valueDim } }: OwnLayer, h: Slot) => (draft: Draft): readonly [Fresh, Draft] => {
  const { spec, m } = f;
  const [keys, next] = projected(f, l, "k", h, kvHeads)(draft);
  const [values, done] = linear(`blk.${l}.attn_v`, h, { m, n: kvHeads * valueDim, k: spec.shape.hidden }, spec.qkvBias)(next);
  return [{ keys, values }, done];
};

/** Rotates the keys. */
const keysOf = (f: Run, l: number, x: Slot, heads: number) => (draft: Draft): readonly [RunKeys, Draft] => {
  const count = f.m * heads * layerOf(f.spec.shape.layers, l).keyDim;
  const [rawKeys, next] = f.plan.ports.has("rawKeys") ? copied(x, count)(draft) : [NONE, draft];
  return [{ rawKeys, newKeys: x }, rotate(f, l, x, heads)(next)];
};

const copied = (x: Slot, count: number): Build => (draft) => {
  const [out, next] = temp("copy", count * 4)(draft);
  return [out, emit({ op: "map", args: [x, NONE, NONE, out], params: { fn: "copy", count, value: 0, heads: 0 } })(next)];
};

/** Keys and values of this run become rows of the tail; their columns start at the plan's initial values. */
const appendRows = (f: Run, l: number, own: OwnLayer, fresh: Fresh, position: Slot) => (draft: Draft): readonly [RunKeys, Draft] => {
  const { plan, m } = f;
  const { kvHeads: heads, keyDim, valueDim } = own.shape;
  const tail = tailOf(own);
  if (tail === null) return [noKeys, draft];
  const [keys, d1] = keysOf(f, l, fresh.keys, heads)(draft);
  const [rows, d2] = slotsFor(["keys", "values", "position", "layout"].map((part) => `L${l}.${part}`))(d1);
  const params = { m, heads, keyDim, valueDim, keyCodec: codecName(tail.keyCodec), valueCodec: codecName(tail.valueCodec) };
  const appended = emit({ op: "append", args: [keys.newKeys, fresh.values, position, ...rows], params })(d2);
  return [
    keys,
    (plan.layers[l]?.columns ?? []).reduce((d: Draft, { name, initial: value }) => {
      const [column, next] = bound(`L${l}.column.${name}`)(d);
      return emit({ op: "extend", args: [column, rows[3] ?? NONE], params: { m, heads, value } })(next);
    }, appended),
  ];
};

/** The ring takes in this run's queries, then the policy acts. */
const policyOps = (f: Run, l: number, own: OwnLayer, slots: LayerSlots): Ops => (draft) => {
  const { queryHeads, keyDim } = own.shape;
  const window = own.recent?.window ?? 0;
  const slide = (x: Slot, ring: Slot, width: number): Ops => emit({ op: "slide", args: [x, ring], params: { m: f.m, window, width } });
  const slid = slots.recent === null ? draft : pipe(
    draft,
    slide(slots.queries, slots.recent.queries, queryHeads * keyDim),
    slide(slots.lse, slots.recent.lse, queryHeads),
    slide(slots.queryPosition, slots.recent.position, 1),
  );
  const [tokenClass, classed] = f.plan.ports.has("tokenClass") ? bound(className(own.shape.kvHeads))(slid) : [NONE, slid];
  return f.plan.splice(f.point, l, { ...slots, tokenClass })(classed);
};

/** x += down(silu(gate(h)) * up(h)). */
const feedForward = (l: number, h: Slot, x: Slot, m: number, hidden: number, inner: number): Ops => (draft) => {
  const [gate, d1] = linear(`blk.${l}.ffn_gate`, h, { m, n: inner, k: hidden }, false)(draft);
  const [up, d2] = linear(`blk.${l}.ffn_up`, h, { m, n: inner, k: hidden }, false)(d1);
  const d3 = emit({ op: "glu", args: [gate, up, gate], params: { count: m * inner, activation: "silu" } })(d2);
  return project(`blk.${l}.ffn_down`, gate, x, { m, n: hidden, k: inner, accumulate: true })(d3);
};

/** Final norm and logits of the rows that are left, or the id of the largest. */
const head = (f: Run, x: Slot): Ops => (draft) => {
  const { shape: { hidden: k, vocab: n }, tiedOutput } = f.spec;
  const m = rowsOf(f.logits, f.m);
  const [h, d1] = norm(f, "output_norm", x, m)(draft);
  const isOne = f.logits === "token";
  const [logits, d2] = (isOne ? temp("logits", n * 4) : bound("logits"))(d1);
  const d3 = project(tiedOutput ? "token_embd" : "output", h, logits, { m, n, k, accumulate: false })(d2);
  if (!isOne) return d3;
  const [token, d4] = bound("token")(d3);
  return emit({ op: "argmax", args: [logits, token], params: { m, n } })(d4);
};

const norm = (f: Run, name: string, x: Slot, rows: number): Build => (draft) => {
  const { hidden } = f.spec.shape;
  const [out, next] = temp(name, rows * hidden * 4)(draft);
  return [out, normInto(f, name, x, out, rows, hidden)(next)];
};

const normInto = ({ spec: { normEps: eps } }: Run, name: string, x: Slot, out: Slot, rows: number, dim: number): Ops => (draft) => {
  const [w, next] = weight(`${name}.weight`)(draft);
  return emit({ op: "norm", args: [x, w, out], params: { rows, dim, eps } })(next);
};

/** A projection into a value of its own. */
const linear = (name: string, x: Slot, size: Pick<OpParams["matmul"], "m" | "n" | "k">, bias: boolean): Build => (draft) => {
  const [out, next] = temp(name, size.m * size.n * 4)(draft);
  return [out, project(name, x, out, { ...size, accumulate: false }, bias)(next)];
};

/** A projection into, or onto, a value that is there. */
const project = (name: string, x: Slot, out: Slot, params: OpParams["matmul"], bias = false): Ops => (draft) => {
  const [w, d1] = weight(`${name}.weight`)(draft);
  const [b, d2] = bias ? weight(`${name}.bias`)(d1) : [NONE, d1];
  return emit({ op: "matmul", args: [x, w, b, out], params })(d2);
};

/** The last `rows` rows of x, which is x itself where that is all of them. */
const lastRows = (m: number, rows: number, width: number, x: Slot): Build => (draft) => {
  if (rows === m) return [x, draft];
  const [out, next] = temp("last rows", rows * width * 4)(draft);
  return [out, emit({ op: "slice", args: [x, out], params: { from: m - rows, rows, width } })(next)];
};

const rowsOf = (wanted: LogitRows, m: number): number => wanted === "all" ? m : wanted === "none" ? 0 : 1;

/** Layer `l` of a checked spec; every caller counts from the same list. */
const layerOf = (layers: ReadonlyArray<LayerShape>, l: number): LayerShape => layers[l] ?? noLayer;
const noLayer: LayerShape = { queryHeads: 0, kvHeads: 0, keyDim: 0, valueDim: 0, scale: 1, rope: { theta: 1, dims: 0 }, window: 0 };
