/**
 * Attention over one tier: `attend`, and the attention mass per row, `attendReduce`. Softmax in two passes over rows in
 * ascending order, everything in f64.
 * @module
 */
import type { OpParams } from "../ops.ts";
import { at, dot, type Head, headsOf, type Kernel, lowest, noQuery, type Operands, widened } from "./kernel.ts";

/** What both ops share: whose rows, and how a score is made. */
interface Scoring {
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly scale: number;
  readonly window: number;
  readonly softcap: number;
}

/** What a score takes of them. */
type Products = Pick<Scoring, "keyDim" | "scale" | "softcap">;

/** A row is visible if it is not newer than the query and, under a window, less than `window` positions older. */
export const visible = (row: number, query: number, window: number): boolean =>
  query !== noQuery && row <= query && (window === 0 || row + window > query);

/** Score of the row at `slot` for the query that starts at `q0`. */
export function score(scoring: Products, q: Float32Array, q0: number, keys: Float32Array, slot: number): number {
  const scaled = dot(q, q0, keys, slot * scoring.keyDim, scoring.keyDim) * Math.fround(scoring.scale);
  const cap = Math.fround(scoring.softcap);
  return cap > 0 ? cap * Math.tanh(scaled / cap) : scaled;
}

/** Visible slots of one head, ascending. */
function visibleSlots({ start, length }: Head, position: Uint32Array, query: number, window: number): ReadonlyArray<number> {
  const slots: number[] = [];
  for (let slot = start; slot < start + length; slot++) if (visible(at(position, slot), query, window)) slots.push(slot);
  return slots;
}

/** Attention of m queries; with `merge`, combined with the attention that `out` and `lse` already describe. */
export const attend: Kernel<"attend"> = (params, operands) => attendOver(params, operands, (_, slots) => slots);

/** The same for one query that sees chosen rows only. */
export const attendRows: Kernel<"attendRows"> = (params, operands) => {
  const [keep, counts] = [operands.u32("keep"), operands.u32("counts")];
  const starts = headsOf(operands.u32("layout"), params.kvHeads).map(({ start }) => start);
  attendOver(params, operands, (h, slots) => {
    const start = starts[h] ?? 0;
    const seen = new Set(slots);
    return Array.from(keep.subarray(start, start + at(counts, h)), (index) => start + index).filter((slot) => seen.has(slot));
  });
};

/** Attention where `seen` says which of the visible slots of a KV head count. */
function attendOver(
  params: OpParams["attend"],
  operands: Operands,
  seen: (kvHead: number, visible: ReadonlyArray<number>) => ReadonlyArray<number>,
): void {
  const { m, heads, kvHeads, keyDim, keyCodec, valueCodec } = params;
  const [q, position, queries] = [operands.f32("q"), operands.u32("position"), operands.u32("queryPosition")];
  const [keys, values] = [widened(operands.rows("keys", keyCodec, keyDim)), widened(operands.rows("values", valueCodec, params.valueDim))];
  const segments = headsOf(operands.u32("layout"), kvHeads);
  const group = heads / kvHeads;
  for (let i = 0; i < m; i++) {
    for (let h = 0; h < heads; h++) {
      const head = segments[Math.floor(h / group)] ?? { start: 0, length: 0, capacity: 0 };
      const slots = seen(Math.floor(h / group), visibleSlots(head, position, at(queries, i), params.window));
      const scores = slots.map((slot) => score(params, q, (i * heads + h) * keyDim, keys, slot));
      const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      const lse = slots.length === 0 ? lowest : top + Math.log(total);
      combine(params, operands, i * heads + h, lse, weightedSum(params.valueDim, values, slots, scores.map((s) => Math.exp(s - lse))));
    }
  }
}

/** Sum of the value rows at `slots`, each times its weight. */
function weightedSum(dim: number, values: Float32Array, slots: ReadonlyArray<number>, weights: ReadonlyArray<number>): Float64Array {
  const sum = new Float64Array(dim);
  for (const [t, slot] of slots.entries()) {
    const weight = at(weights, t);
    for (let c = 0; c < dim; c++) sum[c] = (sum[c] ?? NaN) + weight * (values[slot * dim + c] ?? NaN);
  }
  return sum;
}

/** Writes result `row`, or merges it: two partial softmaxes weigh as the exponentials of their log-sum-exps. */
function combine(
  { merge, valueDim }: { readonly merge: boolean; readonly valueDim: number },
  operands: Operands,
  row: number,
  lse: number,
  result: Float64Array,
): void {
  const [out, lses] = [operands.f32("out"), operands.f32("lse")];
  const before = merge ? at(lses, row) : -Infinity;
  const top = Math.max(before, lse);
  const total = top + Math.log(Math.exp(before - top) + Math.exp(lse - top));
  const [old, fresh] = [Math.exp(before - total), Math.exp(lse - total)];
  for (let c = 0; c < valueDim; c++) {
    out[row * valueDim + c] = (old === 0 ? 0 : old * at(out, row * valueDim + c)) + fresh * at(result, c);
  }
  lses[row] = total;
}

/** A divisor below this counts as this. */
const leastDivisor = 1e-30;

/** Column of attention mass per row. */
export const attendReduce: Kernel<"attendReduce"> = (params, operands) => {
  const { queries, heads, kvHeads, keyDim, keyCodec, overQueries, overGroup, accumulate } = params;
  const [q, position, queryPosition] = [operands.f32("q"), operands.u32("position"), operands.u32("queryPosition")];
  const [keys, lse, out] = [widened(operands.rows("keys", keyCodec, keyDim)), operands.f32("lse"), operands.f32("out")];
  const real = queryPosition.subarray(0, queries).reduce((n, p) => n + (p === noQuery ? 0 : 1), 0);
  const group = heads / kvHeads;
  const [divisor, gain] = [operands.f32("divisor"), operands.f32("gain")];
  const divided = (p: number, i: number): number => operands.given("divisor") ? p / Math.max(at(divisor, i), leastDivisor) : p;
  const gained = (p: number, slot: number, g: number): number => operands.given("gain") ? p * at(gain, slot * group + g) : p;
  const mass = (slot: number, h: number): ReadonlyArray<number> =>
    Array.from({ length: queries }, (_, i) => {
      if (!visible(at(position, slot), at(queryPosition, i), params.window) || at(lse, i * heads + h) === lowest) return 0;
      return divided(Math.exp(score(params, q, (i * heads + h) * keyDim, keys, slot) - at(lse, i * heads + h)), i);
    });
  for (const [kvHead, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    for (let slot = start; slot < start + length; slot++) {
      const perHead = Array.from({ length: group }, (_, g) => gained(fold(overQueries, mass(slot, kvHead * group + g), real), slot, g));
      out[slot] = fold(overGroup, perHead, group) + (accumulate ? at(out, slot) : 0);
    }
  }
};

/** Masses are never negative, so nothing at all sums, averages and peaks to 0. */
function fold(by: "sum" | "mean" | "max", masses: ReadonlyArray<number>, count: number): number {
  if (by === "max") return masses.reduce((a, b) => Math.max(a, b), 0);
  const sum = masses.reduce((a, b) => a + b, 0);
  return by === "sum" || count === 0 ? sum : sum / count;
}
