/**
 * The fold itself, for hosts with their own model: `cache' = apply(cache, new tokens)`, where the step is a plan.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Binding } from "../backends/backend.ts";
import { NONE, type Slot } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Buffer, KvCache } from "../cache/types.ts";
import type { OwnLayer } from "../cache/view.ts";
import { bound, emit, emptyDraft, finish } from "../plan/draft.ts";
import type { Draft, LayerPlan, LayerSlots, PolicyPlan, SplicePoint } from "../plan/types.ts";
import { advance, bindings, reserve, settle, stage } from "./bind.ts";
import type { DenseRows } from "./dense.ts";
import { jointOps, jointScratch } from "./joint.ts";
import { type Memory, orRetire, retire } from "./memory.ts";
import { bytesIn, runOnce, type Scratch, withScratch } from "./scratch.ts";
import { attendLayer, className, classScratch, layerSlots, slotsFor } from "./slots.ts";

/** What a host's model computed for new tokens, per layer; positions follow on from `cache.nextPosition`. */
export interface Tokens {
  /** Number of tokens. */
  readonly count: number;
  /** Class of each token, for policies that observe it: 0, 1 special, 2 punctuation. */
  readonly tokenClass?: ReadonlyArray<number>;
  /** Every layer, in order. */
  readonly layers: ReadonlyArray<{
    /** f32 [count, queryHeads, keyDim], after rotation. */
    readonly queries: Float32Array;
    /** f32 [kvHeads, count, dim] each; null for a layer that reads another's rows. */
    readonly rows: DenseRows | null;
  }>;
}

/** A cache after tokens, and their attention per layer, f32 [count, queryHeads, valueDim]. */
export interface Applied {
  /** The value after the tokens. */
  readonly cache: KvCache;
  /** Per layer f32 [count, queryHeads, valueDim]. */
  readonly attended: ReadonlyArray<Float32Array>;
}

/** Appends tokens, attends with their queries, and does what the plan says at `point`: `AfterChunk` for prompt tokens (set its
 * `m` to their number), `AfterStep` for one decoded token, `PrefillEnd` with no tokens. Consumes the cache, also on Left.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { apply, emptyPolicy, openCache, openMemory, openReference, orThrow, planPolicy, rowsPerHead, uniformShape } from "../mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const codec = { _tag: "Plain", dtype: "f32" } as const;
 * const plan = await orThrow(planPolicy(emptyPolicy, { shape, backend, promptTokens: 1, chunk: 1, codec }));
 * const empty = await orThrow(openCache(memory, plan, shape));
 * const rows = { keys: Float32Array.of(1, 0), values: Float32Array.of(5, 6) };
 * const tokens = { count: 1, layers: [{ queries: Float32Array.of(1, 0, 0, 1), rows }] };
 * const { cache, attended } = await orThrow(apply(memory, plan, { _tag: "AfterStep", every: [] })(empty, tokens));
 * assertEquals(rowsPerHead(cache), [[1]]);
 * assertEquals([...attended[0] ?? []], [5, 6, 5, 6]); // each of the two query heads sees the one row
 * ```
 */
export const apply =
  (memory: Memory, plan: PolicyPlan, point: SplicePoint): (cache: KvCache, tokens: Tokens | null) => TE.TaskEither<KvError, Applied> =>
  (cache, tokens) => {
    const m = tokens?.count ?? 0;
    const wrong = checkTokens(cache, point, tokens) ?? checkClasses(plan, tokens);
    if (wrong !== null) return async () => (retire(memory, cache)(), await E.left(wrong));
    return pipe(
      reserve(memory, plan, point, m)(cache),
      TE.chain((ready) =>
        pipe(runOver(memory, plan, point, ready, tokens), orRetire(memory, ready), TE.map((attended) => ({ ready, attended })))
      ),
      TE.chain(({ ready, attended }) =>
        pipe(
          TE.fromIOEither(advance(memory, m, plan.evictsAt(point))(ready)),
          TE.chain((next) => pipe(settle(memory)(next), orRetire(memory, next))),
          TE.map((next) => ({ cache: next, attended })),
        )
      ),
    );
  };

function runOver(
  memory: Memory,
  plan: PolicyPlan,
  point: SplicePoint,
  cache: KvCache,
  tokens: Tokens | null,
): TE.TaskEither<KvError, ReadonlyArray<Float32Array>> {
  const m = tokens?.count ?? 0;
  const positions = Uint32Array.from({ length: m }, (_, i) => cache.nextPosition + i);
  const scratch: ReadonlyArray<Scratch> = [
    { label: "newest", content: bytesIn(Uint32Array.of(Math.max(0, cache.nextPosition + m - 1))) },
    { label: "positions", content: bytesIn(positions) },
    ...jointScratch(plan, point, cache),
    ...(plan.ports.has("tokenClass") ? classScratch(cache.layers.map(({ shape }) => shape), tokens?.tokenClass ?? []) : []),
    ...(tokens?.layers ?? []).flatMap((layer, l) => tokenScratch(cache.layers[l]?.shape, layer, l, m)),
  ];
  const layers = cache.layers.reduce((d: Draft, _, l) => layerOps(plan, point, cache, l, m)(d), emptyDraft);
  const program = finish(`apply ${plan.text}`)(jointOps(plan, point, cache)(layers));
  return withScratch(memory, scratch, (buffers) => {
    const own: Readonly<Record<string, Binding>> = Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, { buffer }]));
    return pipe(
      TE.fromIOEither(stage(memory)(cache)),
      TE.chain(() => program.body.length === 0 ? TE.right(undefined) : runOnce(memory, program, { ...bindings(cache), ...own })),
      TE.chain(() =>
        TE.sequenceSeqArray(
          cache.layers.flatMap(({ shape }, l) => readOut(memory, buffers[`L${l}.out`], m * shape.queryHeads * shape.valueDim)),
        )
      ),
    );
  });
}

function tokenScratch(shape: LayerShape | undefined, layer: Tokens["layers"][number], l: number, m: number): ReadonlyArray<Scratch> {
  if (shape === undefined) return [];
  const rows = layer.rows === null ? [] : [
    { label: `L${l}.k`, content: bytesIn(byToken(layer.rows.keys, shape.kvHeads, m, shape.keyDim)) },
    { label: `L${l}.v`, content: bytesIn(byToken(layer.rows.values, shape.kvHeads, m, shape.valueDim)) },
  ];
  return [
    { label: `L${l}.q`, content: bytesIn(layer.queries) },
    { label: `L${l}.out`, content: m * shape.queryHeads * shape.valueDim * 4 },
    { label: `L${l}.lse`, content: m * shape.queryHeads * 4 },
    ...rows,
  ];
}

/** [heads, count, dim] as [count, heads, dim]. */
function byToken(rows: Float32Array, heads: number, count: number, dim: number): Float32Array {
  const out = new Float32Array(rows.length);
  for (let h = 0; h < heads; h++) {
    for (let t = 0; t < count; t++) out.set(rows.subarray((h * count + t) * dim, (h * count + t + 1) * dim), (t * heads + h) * dim);
  }
  return out;
}

const readOut = (memory: Memory, buffer: Buffer | undefined, length: number): ReadonlyArray<TE.TaskEither<KvError, Float32Array>> =>
  buffer === undefined
    ? []
    : [pipe(memory.backend.read(buffer, 0, length * 4), TE.map((bytes) => new Float32Array(new Uint8Array(bytes).buffer)))];

/** Append, attend, remember the queries, then the plan: the order of a forward pass. */
const layerOps = (plan: PolicyPlan, point: SplicePoint, cache: KvCache, l: number, m: number) => (draft: Draft): Draft => {
  const [layer, planned] = [cache.layers[l], plan.layers[l]];
  if (layer === undefined || planned === undefined) return draft;
  if (m === 0) return layer._tag === "Alias" ? draft : spliceAt(plan, point, l, layer)(draft);
  const [[q = NONE, position = NONE, out = NONE, lse = NONE], named] = slotsFor([`L${l}.q`, "positions", `L${l}.out`, `L${l}.lse`])(draft);
  const run = { queries: q, position, out, lse, m };
  if (layer._tag === "Alias") return attendLayer(cache, l, run)(named);
  const [slots, ready] = layerSlots(l, layer)(named);
  const [tokenClass, classed] = plan.ports.has("tokenClass") ? bound(className(layer.shape.kvHeads))(ready) : [NONE, ready];
  const seen = { ...slots, queries: q, lse, queryPosition: position, tokenClass };
  const [chosen, appended] = plan.select(point, l, seen)(appendOps(l, layer, planned, slots, position, m)(classed));
  return plan.splice(point, l, seen)(slideOps(layer, seen, m)(attendLayer(cache, l, run, chosen)(appended)));
};

const spliceAt = (plan: PolicyPlan, point: SplicePoint, l: number, layer: OwnLayer) => (draft: Draft): Draft => {
  const [slots, ready] = layerSlots(l, layer)(draft);
  const spliced = plan.splice(point, l, slots)(ready);
  return spliced.body.length === ready.body.length ? draft : spliced;
};

const appendOps =
  (l: number, { shape }: OwnLayer, planned: LayerPlan, slots: LayerSlots, positions: Slot, m: number) => (draft: Draft): Draft => {
    const { kvHeads: heads, keyDim, valueDim } = shape;
    const [[k = NONE, v = NONE], named] = slotsFor([`L${l}.k`, `L${l}.v`])(draft);
    const appended = emit({
      op: "append",
      args: [k, v, positions, slots.keys, slots.values, slots.position, slots.layout],
      params: { m, heads, keyDim, valueDim, keyCodec: codecName(planned.keyCodec), valueCodec: codecName(planned.valueCodec) },
    })(named);
    return Object.entries(slots.columns).reduce((d, [name, column]) => {
      const value = planned.columns.find((c) => c.name === name)?.initial ?? 0;
      return emit({ op: "extend", args: [column, slots.layout], params: { m, heads, value } })(d);
    }, appended);
  };

const slideOps = ({ shape, recent }: OwnLayer, slots: LayerSlots, m: number) => (draft: Draft): Draft => {
  if (recent === null || slots.recent === null) return draft;
  const { window } = recent;
  const rings: ReadonlyArray<readonly [Slot, Slot, number]> = [
    [slots.queries, slots.recent.queries, shape.queryHeads * shape.keyDim],
    [slots.lse, slots.recent.lse, shape.queryHeads],
    [slots.queryPosition, slots.recent.position, 1],
  ];
  return rings.reduce((d, [from, ring, width]) => emit({ op: "slide", args: [from, ring], params: { m, window, width } })(d), draft);
};

function checkClasses(plan: PolicyPlan, tokens: Tokens | null): KvError | null {
  if (!plan.ports.has("tokenClass") || tokens === null) return null;
  if (tokens.tokenClass === undefined) return { _tag: "MissingPort", port: "tokenClass", wantedBy: plan.text };
  const [expected, actual] = [String(tokens.count), String(tokens.tokenClass.length)];
  return expected === actual ? null : { _tag: "ShapeMismatch", at: "classes of tokens", expected, actual };
}

function checkTokens(cache: KvCache, point: SplicePoint, tokens: Tokens | null): KvError | null {
  const m = tokens?.count ?? 0;
  const planned = point._tag === "AfterChunk" ? point.m : point._tag === "AfterStep" ? 1 : 0;
  if (m !== planned) return { _tag: "ShapeMismatch", at: `tokens at ${point._tag}`, expected: String(planned), actual: String(m) };
  if (tokens === null) return null;
  const bad = cache.layers.flatMap((layer, l) => {
    const { shape } = layer;
    const given = tokens.layers[l];
    const [heads, dims] = [shape.kvHeads * m, [shape.keyDim, shape.valueDim]];
    const expected = [m * shape.queryHeads * shape.keyDim, ...layer._tag === "Alias" ? [0, 0] : dims.map((d) => heads * d)];
    const actual = [given?.queries.length ?? 0, given?.rows?.keys.length ?? 0, given?.rows?.values.length ?? 0];
    return expected.every((n, i) => n === actual[i]) ? [] : [{ l, expected, actual }];
  })[0];
  return bad === undefined ? null : {
    _tag: "ShapeMismatch",
    at: `queries, keys, values of layer ${bad.l}`,
    expected: `${bad.expected.join(", ")} numbers`,
    actual: bad.actual.join(", "),
  };
}
