/**
 * Cases of the ops in `backends/cluster_ops.ts`.
 * @module
 */
import { type Case, caseOf, input, outputIn, updated, withNmse } from "./case.ts";
import { columnOf, type Layout, layoutOf, layoutWords, positionsOf, rowForms, rowRanges, rowsOf, type Segment } from "./layouts.ts";
import { randomOf } from "./random.ts";

/** Forms of rows that are plain numbers. */
const plainForms = rowForms.filter(({ codec }) => codec === "f32" || codec === "f16");

/** Bytes per slot for a centroid in every `stride` slots. */
const indexBytes = (dim: number, stride: number): number => 4 * Math.ceil(dim / stride);

/** Labels that a head has room for. */
const room = ({ capacity }: Segment, stride: number): number => Math.floor(capacity / stride);

/** A third of the rows have labels, the first ones of few clusters; some of these are none: too large, negative, not whole. */
const labelsOf = (layout: Layout, stride: number, clusters: number): Float32Array<ArrayBuffer> =>
  columnOf(layout, (slot) => {
    const head = layout.segments.find(({ start, length }) => slot >= start && slot < start + length);
    const t = slot - (head?.start ?? 0);
    const label = t % Math.max(1, Math.min(clusters, head === undefined ? 1 : room(head, stride)));
    const odd = [1e9, -1, 0.5, NaN][t % 4] ?? -1;
    return head === undefined || t >= head.length / 3 ? -1 : t % 11 === 5 ? odd : label;
  });

const labelAt = (labels: Float32Array, slot: number, head: Segment, stride: number): number => {
  const label = labels[slot] ?? -1;
  return Number.isInteger(label) && label >= 0 && label < room(head, stride) ? label : -1;
};

/** One more than the largest label of a head. */
const used = (labels: Float32Array, head: Segment, stride: number): number =>
  Math.max(0, ...Array.from({ length: head.length }, (_, t) => labelAt(labels, head.start + t, head, stride) + 1));

export const kmeansCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    [0, 1, 4].map((iterations, j) => {
      const random = randomOf(`kmeans ${lengths} ${dim} ${codec} ${iterations}`, seed);
      const [layout, stride] = [layoutOf(random, lengths, 2), [2, 5, 3][(i + j) % 3] ?? 2];
      const [per, count, sinks] = [[8, 20, 61][j] ?? 8, [0, 3, 0, 70][(i + j) % 4] ?? 0, [0, 6][i % 2] ?? 0];
      const [labels, position] = [labelsOf(layout, stride, 3), positionsOf(random, layout)];
      const fresh = layout.segments.map((head) => {
        const taken = Array.from({ length: head.length }, (_, t) => head.start + t)
          .map((slot) => labelAt(labels, slot, head, stride) >= 0 || (position[slot] ?? 0) < sinks);
        const n = head.length - taken.lastIndexOf(true) - 1;
        const wanted = count > 0 ? Math.min(n, count) : Math.max(1, Math.floor((2 * n + per) / (2 * per)));
        return n < stride ? 0 : Math.max(0, Math.min(wanted, room(head, stride) - used(labels, head, stride)));
      });
      const made = layout.segments.map(({ start }, h) => ({ from: start * dim * 4, to: (start + (fresh[h] ?? 0)) * dim * 4 }));
      const title = `${
        count > 0 ? `${count} clusters` : `clusters of ${per}`
      }, stride ${stride}, ${sinks} sinks, ${iterations} rounds, ${dim} ${codec}, ${layout.label}`;
      return caseOf(title, {
        op: "kmeans",
        params: { heads: lengths.length, dim, codec, per, count, sinks, iterations, seed: 7 + i, stride },
      }, {
        keys: input(rowsOf(random, layout, dim, codec)),
        position: input(position),
        layout: input(layoutWords(layout)),
        labels: updated("kmeans", labels, rowRanges(layout, 4)),
        means: withNmse(1e-10)(outputIn("kmeans", layout.slots * dim, made)),
      });
    })
  );

/** Bytes of the centroids of the labels in use. */
const centroidRanges = (layout: Layout, labels: Float32Array, stride: number, rowBytes: number, dim: number) =>
  layout.segments.flatMap((head) =>
    Array.from({ length: used(labels, head, stride) }, (_, c) => {
      const from = (head.start + c * stride) * rowBytes;
      return { from, to: from + 4 * dim };
    })
  );

/** Labels in all rows, or some of them none. */
const everywhere = (layout: Layout, stride: number, none = true): Float32Array<ArrayBuffer> =>
  columnOf(layout, (slot) => {
    const head = layout.segments.find(({ start, length }) => slot >= start && slot < start + length);
    if (head === undefined || room(head, stride) === 0) return -1;
    return none && slot % 7 === 3 ? [-1, 0.25, 1e9, NaN][slot % 4] ?? -1 : (slot * 5) % room(head, stride);
  });

export const centroidsCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    [2, 9].map((stride) => {
      const random = randomOf(`centroids ${lengths} ${dim} ${codec} ${stride}`, seed);
      const layout = layoutOf(random, lengths, 2 + i % 3);
      const [rowBytes, labels] = [indexBytes(dim, stride), everywhere(layout, stride)];
      return caseOf(`one in ${stride} slots, ${dim} ${codec}, ${layout.label}`, {
        op: "centroids",
        params: { heads: lengths.length, dim, codec, stride, rowBytes },
      }, {
        keys: input(rowsOf(random, layout, dim, codec)),
        labels: input(labels),
        layout: input(layoutWords(layout)),
        index: outputIn("centroids", layout.slots * rowBytes / 4, centroidRanges(layout, labels, stride, rowBytes, dim)),
      });
    })
  );

export const clusterScoresCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim }, i) =>
    [2, 9].map((stride, j) => {
      const random = randomOf(`clusterScores ${lengths} ${dim} ${stride} ${i}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const [rowBytes, labels] = [indexBytes(dim, stride), everywhere(layout, stride, j === 0)];
      const promised = layout.segments.map((head) => ({ from: head.start * 4, to: (head.start + used(labels, head, stride)) * 4 }));
      return caseOf(`case ${i}, one in ${stride} slots, groups of ${group}, ${dim} channels, ${layout.label}`, {
        op: "clusterScores",
        params: { heads: kvHeads * group, kvHeads, dim, stride, rowBytes },
      }, {
        q: input(random.normals(kvHeads * group * dim)),
        index: input(random.normals(layout.slots * rowBytes / 4)),
        labels: input(labels),
        layout: input(layoutWords(layout)),
        promises: outputIn("clusterScores", layout.slots, promised),
        out: outputIn("clusterScores", layout.slots, rowRanges(layout, 4)),
      });
    })
  );
