/**
 * Clusters of keys: kmeans, centroids, clusterScores.
 *
 * Source: ClusterKV, arXiv 2412.03213, section III.
 * @module
 */
import { at, dot, type Head, headsOf, type Kernel, type Operands, widened } from "./kernel.ts";

/** The label of a slot, or -1. */
export const labelAt = (labels: ArrayLike<number>, slot: number, { capacity }: Head, stride: number): number => {
  const label = at(labels, slot);
  return Number.isInteger(label) && label >= 0 && label < Math.floor(capacity / stride) ? label : -1;
};

/** A whole number of 32 bits that looks random and is the same everywhere. */
export function hash(seed: number, c: number): number {
  let x = (seed ^ Math.imul(c + 1, 0x9E3779B9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7FEB352D);
  x = Math.imul(x ^ (x >>> 15), 0x846CA68B);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Labels in use, or where they end: one more than the largest. */
const labelsIn = (labels: ArrayLike<number>, head: Head, stride: number): number =>
  Array.from({ length: head.length }, (_, t) => labelAt(labels, head.start + t, head, stride) + 1).reduce((a, b) => Math.max(a, b), 0);

/** Means of the rows of each cluster; a cluster without rows keeps what it had. */
function meansOf(keys: ArrayLike<number>, from: number, dim: number, own: ReadonlyArray<number>, before: ReadonlyArray<Float64Array>) {
  const sums = before.map(() => new Float64Array(dim));
  const sizes = before.map(() => 0);
  own.forEach((label, i) => {
    sizes[label] = (sizes[label] ?? 0) + 1;
    for (let c = 0; c < dim; c++) {
      const sum = sums[label];
      if (sum !== undefined) sum[c] = at(sum, c) + at(keys, (from + i) * dim + c);
    }
  });
  return sums.map((sum, c) => (sizes[c] ?? 0) === 0 ? before[c] ?? sum : sum.map((x) => x / (sizes[c] ?? 1)));
}

/** Seeded k-means by cosine. */
export const kmeans: Kernel<"kmeans"> = ({ heads, dim, codec, per, count, sinks, iterations, seed, stride }, operands) => {
  const [keys, position] = [widened(operands.rows("keys", codec, dim)), operands.u32("position")];
  const [labels, out] = [operands.f32("labels"), operands.f32("means")];
  for (const head of headsOf(operands.u32("layout"), heads)) {
    const taken = Array.from(
      { length: head.length },
      (_, t) => labelAt(labels, head.start + t, head, stride) >= 0 || at(position, head.start + t) < sinks,
    );
    const first = taken.lastIndexOf(true) + 1;
    const n = head.length - first;
    if (n < stride) continue;
    const next = labelsIn(labels, head, stride);
    const wanted = count > 0 ? Math.min(n, count) : Math.max(1, Math.floor((2 * n + per) / (2 * per)));
    const clusters = Math.min(wanted, Math.floor(head.capacity / stride) - next);
    if (clusters <= 0) continue;
    const from = head.start + first;
    const start = Array.from({ length: clusters + 1 }, (_, c) => Math.floor(c * n / clusters));
    let means: ReadonlyArray<Float64Array> = Array.from({ length: clusters }, (_, c) => {
      const row = at(start, c) + hash(seed, c) % (at(start, c + 1) - at(start, c));
      return Float64Array.from({ length: dim }, (_, d) => at(keys, (from + row) * dim + d));
    });
    const assign = (): ReadonlyArray<number> => {
      const inverse = means.map((m) => 1 / (Math.sqrt(dot(m, 0, m, 0, dim)) + 1e-8));
      return Array.from({ length: n }, (_, i) => {
        const cosines = means.map((m, c) => dot(keys, (from + i) * dim, m, 0, dim) * at(inverse, c));
        return cosines.reduce((best, x, c) => x > at(cosines, best) ? c : best, 0);
      });
    };
    let own: ReadonlyArray<number> = [];
    for (let i = 0; i < iterations; i++) {
      const now = assign();
      const settled = now.every((label, t) => label === own[t]);
      own = now;
      if (settled) break;
      means = meansOf(keys, from, dim, own, means);
    }
    assign().forEach((label, i) => labels[from + i] = next + label);
    means.forEach((m, c) => out.set(m, (head.start + c) * dim));
  }
};

/** The numbers of a centroid, in the bytes of its slot. */
const centroidAt = (operands: Operands, slot: number, rowBytes: number, dim: number): Float32Array => {
  const { buffer, byteOffset } = operands.bytes("index");
  return new Float32Array(buffer, byteOffset + slot * rowBytes, dim);
};

/** Means of the keys of each label. */
export const centroids: Kernel<"centroids"> = ({ heads, dim, codec, stride, rowBytes }, operands) => {
  const [keys, labels] = [widened(operands.rows("keys", codec, dim)), operands.f32("labels")];
  for (const head of headsOf(operands.u32("layout"), heads)) {
    const own = Array.from({ length: head.length }, (_, t) => labelAt(labels, head.start + t, head, stride));
    for (let c = 0; c < labelsIn(labels, head, stride); c++) {
      const rows = own.flatMap((label, t) => label === c ? [head.start + t] : []);
      const mean = Array.from(
        { length: dim },
        (_, d) => rows.reduce((sum, slot) => sum + at(keys, slot * dim + d), 0) / Math.max(1, rows.length),
      );
      centroidAt(operands, head.start + c * stride, rowBytes, dim).set(mean);
    }
  }
};

/** What the centroid of each row's label promises the group of query heads. */
export const clusterScores: Kernel<"clusterScores"> = ({ heads, kvHeads, dim, stride, rowBytes }, operands) => {
  const [q, labels] = [operands.f32("q"), operands.f32("labels")];
  const [promises, out] = [operands.f32("promises"), operands.f32("out")];
  const group = heads / kvHeads;
  for (const [h, head] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    const scores = Array.from({ length: labelsIn(labels, head, stride) }, (_, c) => {
      const centroid = centroidAt(operands, head.start + c * stride, rowBytes, dim);
      return Array.from({ length: group }, (_, g) => dot(q, (h * group + g) * dim, centroid, 0, dim)).reduce((a, b) => Math.max(a, b));
    });
    promises.set(scores, head.start);
    for (let t = 0; t < head.length; t++) {
      const label = labelAt(labels, head.start + t, head, stride);
      out[head.start + t] = label < 0 ? (t + 1) * 2 ** 100 : at(scores, label);
    }
  }
};
