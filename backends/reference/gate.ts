/**
 * The gate of Fast KVzip.
 * @module
 */
import { at, dot, type Kernel } from "./kernel.ts";

/** Fast KVzip, arXiv 2601.17668, section 3: the softmax weight of a token's own key among learned sinks, mean over the group. */
export const sinkGate: Kernel<"sinkGate"> = ({ m, heads, kvHeads, dim, count, scale }, operands) => {
  const [q, k, sinks, bias, out] = ["q", "k", "sinks", "bias", "out"].map(operands.f32);
  if (q === undefined || k === undefined || sinks === undefined || bias === undefined || out === undefined) return;
  const group = heads / kvHeads;
  const logit = (keys: Float32Array, from: number, query: number): number => Math.fround(scale) * dot(keys, from, q, query, dim);
  for (let i = 0; i < m * kvHeads; i++) {
    const [token, h] = [Math.floor(i / kvHeads), i % kvHeads];
    let mean = 0;
    for (let g = h * group; g < (h + 1) * group; g++) {
      const query = (token * heads + g) * dim;
      const own = logit(k, i * dim, query) + at(bias, g);
      let others = 0;
      for (let s = 0; s < count; s++) others += Math.exp(logit(sinks, (h * count + s) * dim, query) - own);
      mean += 1 / (1 + others) / group;
    }
    out[i] = mean;
  }
};
