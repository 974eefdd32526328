/**
 * The gate of Write-Gated KV as ops: sigmoid(w2 gelu(W1 x + b1) + b2) per KV head, x its key before and after rotation, each under an RMS
 * norm. The heads' networks stand side by side in one matrix with zeros between them, half of it for each key.
 * @module
 */
import type { MapFn } from "../backends/ops.ts";
import { NONE, type Slot } from "../backends/program.ts";
import { emit, temp, weight } from "./draft.ts";
import type { Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** Under the root of the RMS norm, as in the authors' code. */
const EPS = 1e-6;

/** f32 [m, kvHeads], 0 to 1; `named` gives the names of weights. */
export const keyGate = (
  { m, shape: { kvHeads: heads, keyDim: dim }, slots }: Pick<Site, "m" | "shape" | "slots">,
  inner: number,
  named: (part: string) => string,
) =>
(draft: Draft): readonly [Slot, Draft] => {
  const [units, keys] = [heads * inner, heads * dim];
  const normed = (part: string, x: Slot) => (d: Draft): readonly [Slot, Draft] => {
    const [out, d1] = temp(`${part} keys`, m * keys * 4)(d);
    const [w, d2] = weight(named(`${part}_norm.weight`))(d1);
    return [out, emit({ op: "norm", args: [x, w, out], params: { rows: m * heads, dim, eps: EPS } })(d2)];
  };
  const times = (x: Slot, out: Slot, part: string, bias: string | null, n: number, k: number, accumulate: boolean) => (d: Draft): Draft => {
    const [w, d1] = weight(named(`${part}.weight`))(d);
    const [b, d2] = bias === null ? [NONE, d1] : weight(named(`${bias}.bias`))(d1);
    return emit({ op: "matmul", args: [x, w, b, out], params: { m, n, k, accumulate } })(d2);
  };
  const over = (fn: MapFn, count: number, a: Slot, b: Slot, out: Slot, value = 0): (d: Draft) => Draft =>
    emit({ op: "map", args: [a, b, NONE, out], params: { fn, count, value, heads: 0 } });
  const [raw, d1] = normed("raw", slots.rawKeys)(draft);
  const [rotated, d2] = normed("rotated", slots.newKeys)(d1);
  const [u, d3] = temp("gate units", m * units * 4)(d2);
  const d4 = times(rotated, u, "rotated", null, units, keys, true)(times(raw, u, "raw", "inner", units, keys, false)(d3));
  const d5 = over("gelu", m * units, u, NONE, u)(d4);
  const [z, d6] = temp("gates", m * heads * 4)(d5);
  const [one, d7] = temp("ones", m * heads * 4)(d6);
  const d8 = times(u, z, "outer", "outer", heads, units, false)(d7);
  const d9 = over("exp", m * heads, z, NONE, z)(over("neg", m * heads, z, NONE, z)(d8));
  const d10 = over("fill", m * heads, one, NONE, one, 1)(over("shift", m * heads, z, NONE, z, 1)(d9));
  return [z, over("div", m * heads, one, z, z)(d10)];
};
