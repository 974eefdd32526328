/**
 * Learned scores as ops: small networks over the hidden states of a run, whose numbers go into the column of the run's rows.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import { emit, temp, weight } from "./draft.ts";
import type { Site } from "./site.ts";
import type { Draft, LearnedForm } from "./types.ts";

/** Name of a weight of the learned score `score` in layer `l`; `part` is as published files have it, such as `0.weight`. */
export const learnedWeight = (score: string, l: number, part: string): string => `learned.${score}.${l}.${part}`;

/** Writes what the network `score` predicts for this run's tokens into the rows they have in `column`. */
export const rememberLearned = (site: Site, score: string, column: Slot): (draft: Draft) => Draft => (draft) => {
  const { m, slots, shape: { kvHeads: heads } } = site;
  const [numbers, predicted] = predict(site, score, site.learned[score])(draft);
  const args = [numbers, slots.position, slots.layout, slots.newest, column];
  return emit({ op: "perToken", args, params: { m, heads } })(predicted);
};

/** f32 [m, kvHeads], or NONE for a network that the plan does not know, which planning refuses. */
const predict = (site: Site, score: string, form: LearnedForm | undefined) => (draft: Draft): readonly [Slot, Draft] => {
  const { m, hidden, slots, shape: { kvHeads } } = site;
  if (form === undefined) return [NONE, draft];
  if (form._tag === "Linear") return linear(site, score, "", slots.hidden, kvHeads, hidden)(draft);
  if (form._tag === "Gate") return gate(site, score, form)(draft);
  const [inner, d1] = linear(site, score, "0.", slots.hidden, form.inner, hidden)(draft);
  const d2 = emit({ op: "map", args: [inner, NONE, NONE, inner], params: { fn: "gelu", count: m * form.inner, value: 0, heads: 0 } })(d1);
  return linear(site, score, "2.", inner, kvHeads, form.inner)(d2);
};

/** x W^T + b, f32 [m, n]. */
const linear =
  ({ m, layer }: Site, score: string, part: string, x: Slot, n: number, k: number, biased = true) =>
  (draft: Draft): readonly [Slot, Draft] => {
    const [out, d1] = temp(part, m * n * 4)(draft);
    const [w, d2] = weight(learnedWeight(score, layer, `${part}weight`))(d1);
    const [b, d3] = biased ? weight(learnedWeight(score, layer, `${part}bias`))(d2) : [NONE, d2];
    return [out, emit({ op: "matmul", args: [x, w, b, out], params: { m, n, k, accumulate: false } })(d3)];
  };

/** Added to the mean square of a gate's queries and keys, as the published gates have it. */
const GATE_EPS = 1e-6;

/** Fast KVzip, arXiv 2601.17668, section 3: queries and keys of their own, normed per head, and sinks to lose attention to. */
const gate =
  (site: Site, score: string, { inner: dim, sinks: count }: Extract<LearnedForm, { readonly _tag: "Gate" }>) =>
  (draft: Draft): readonly [Slot, Draft] => {
    const { m, hidden, layer, slots, shape: { queryHeads: heads, kvHeads } } = site;
    const named = (part: string) => weight(learnedWeight(score, layer, part));
    const normed = (part: string, x: Slot, n: number) => (d: Draft): Draft => {
      const [w, next] = named(`${part}_norm.weight`)(d);
      return emit({ op: "norm", args: [x, w, x], params: { rows: m * n, dim, eps: GATE_EPS } })(next);
    };
    const [q, d1] = linear(site, score, "q_proj.", slots.hidden, heads * dim, hidden)(draft);
    const [k, d2] = linear(site, score, "k_proj.", slots.hidden, kvHeads * dim, hidden, false)(normed("q", q, heads)(d1));
    const [sinks, d3] = named("k_base")(normed("k", k, kvHeads)(d2));
    const [bias, d4] = named("b")(d3);
    const [out, d5] = temp("gate", m * kvHeads * 4)(d4);
    const params = { m, heads, kvHeads, dim, count, size: kvHeads * count * dim, scale: 1 / Math.sqrt(dim) };
    return [out, emit({ op: "sinkGate", args: [q, k, sinks, bias, out], params })(d5)];
  };
