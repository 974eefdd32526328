/**
 * Ops that turn what queries see into one number per row: `groupVotes`, `tailLoss`, and `softmax` over a column.
 * @module
 */
import { at, headsOf, type Kernel, lowest, noQuery, widened } from "./kernel.ts";
import { score, visible } from "./attend.ts";

/** e^a over the sum of e^a. */
function softmaxOf(a: ReadonlyArray<number>): ReadonlyArray<number> {
  const top = a.reduce((x, y) => Math.max(x, y), -Infinity);
  const exps = a.map((x) => Math.exp(x - top));
  const total = exps.reduce((x, y) => x + y, 0);
  return exps.map((e) => e / total);
}

/** Softmax over the rows of each head but its last ones. */
export const softmax: Kernel<"softmax"> = ({ heads, dropLast }, operands) => {
  const [a, out] = [operands.f32("a"), operands.f32("out")];
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    const taken = Math.max(0, length - dropLast);
    out.set(softmaxOf([...a.subarray(start, start + taken)]), start);
    out.fill(0, start + taken, start + length);
  }
};

/** Mean over queries of the softmax of the group's largest logit. */
export const groupVotes: Kernel<"groupVotes"> = (params, operands) => {
  const { queries, heads, kvHeads, keyDim, keyCodec, dropLast } = params;
  const [q, queryPosition, out] = [operands.f32("q"), operands.u32("queryPosition"), operands.f32("out")];
  const keys = widened(operands.rows("keys", keyCodec, keyDim));
  const real = Array.from({ length: queries }, (_, i) => i).filter((i) => at(queryPosition, i) !== noQuery);
  const group = heads / kvHeads;
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    const taken = Math.max(0, length - dropLast);
    const largest = (i: number, slot: number): number =>
      Array.from({ length: group }, (_, g) => score({ ...params, softcap: 0 }, q, (i * heads + h * group + g) * keyDim, keys, slot))
        .reduce((a, b) => Math.max(a, b), -Infinity);
    const votes = real.map((i) => softmaxOf(Array.from({ length: taken }, (_, t) => largest(i, start + t))));
    for (let t = 0; t < length; t++) {
      out[start + t] = t >= taken || votes.length === 0 ? 0 : votes.reduce((sum, of) => sum + at(of, t), 0) / votes.length;
    }
  }
};

/** Share of attention norm lost with a row and all before it. */
export const tailLoss: Kernel<"tailLoss"> = (params, operands) => {
  const { heads, kvHeads, keyDim, keyCodec, window, sinks, scope } = params;
  const [q, position, lse, out] = [operands.f32("q"), operands.u32("position"), operands.f32("lse"), operands.f32("out")];
  const [keys, query] = [widened(operands.rows("keys", keyCodec, keyDim)), at(operands.u32("queryPosition"), 0)];
  const group = heads / kvHeads;
  const squared = (h: number, slot: number): number =>
    visible(at(position, slot), query, window) && at(lse, h) !== lowest
      ? Math.exp(2 * (score({ ...params, softcap: 0 }, q, h * keyDim, keys, slot) - at(lse, h)))
      : 0;
  const segments = headsOf(operands.u32("layout"), kvHeads);
  const remaining = new Float64Array(segments.reduce((most, { length }) => Math.max(most, length), 0));
  let whole = 0;
  for (const [i, { start, length }] of segments.entries()) {
    for (let h = i * group; h < (i + 1) * group; h++) {
      const paid = Array.from({ length }, (_, t) => squared(h, start + t));
      const isSink = paid.map((_, t) => at(position, start + t) < sinks);
      let sum = scope === "all" ? paid.reduce((total, p, t) => total + (isSink[t] === true ? p : 0), 0) : 0;
      for (let t = length - 1; t >= 0; t--) {
        remaining[t] = at(remaining, t) + Math.sqrt(sum);
        sum += isSink[t] === true ? 0 : at(paid, t);
      }
      whole += Math.sqrt(sum);
    }
  }
  for (const { start, length } of segments) {
    for (let t = 0; t < length; t++) {
      out[start + t] = at(position, start + t) < sinks ? 0 : whole === 0 ? 1 : 1 - at(remaining, t) / whole;
    }
  }
};
