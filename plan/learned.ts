/**
 * Learned scores as ops: small networks over the hidden states of a run, whose numbers go into the column of the run's rows.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import { emit, temp, weight } from "./draft.ts";
import { gate } from "./gate.ts";
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
const predict =
  ({ m, hidden, layer, slots, shape }: Site, score: string, form: LearnedForm | undefined) => (draft: Draft): readonly [Slot, Draft] => {
    if (form === undefined) return [NONE, draft];
    const linear = (part: string, x: Slot, n: number, k: number) => (d: Draft): readonly [Slot, Draft] => {
      const [out, d1] = temp(part, m * n * 4)(d);
      const [w, d2] = weight(learnedWeight(score, layer, `${part}weight`))(d1);
      const [b, d3] = weight(learnedWeight(score, layer, `${part}bias`))(d2);
      return [out, emit({ op: "matmul", args: [x, w, b, out], params: { m, n, k, accumulate: false } })(d3)];
    };
    if (form._tag === "Gate") return gate({ m, shape, slots }, form.inner, (part) => learnedWeight(score, layer, part))(draft);
    if (form._tag === "Linear") return linear("", slots.hidden, shape.kvHeads, hidden)(draft);
    const [inner, d1] = linear("0.", slots.hidden, form.inner, hidden)(draft);
    const d2 = emit({ op: "map", args: [inner, NONE, NONE, inner], params: { fn: "gelu", count: m * form.inner, value: 0, heads: 0 } })(d1);
    return linear("2.", inner, shape.kvHeads, form.inner)(d2);
  };
