/**
 * Clusters of keys as ops: numbers into a column, centroids into the room that each layer has for them, promises for a query.
 *
 * A centroid lies in the bytes of every `stride`-th slot of its head, as bounds of pages do. The stride is half the rows of a mean cluster,
 * so that every clustering finds room: of n rows it makes at most n / stride clusters, or leaves them as they are.
 * @module
 */
import type { Slot } from "../backends/program.ts";
import type { PageForm } from "../cache/types.ts";
import { pageBytes } from "../cache/view.ts";
import type { Moment, Score } from "../policy/types.ts";
import type { PlannedBlock } from "./blocks.ts";
import { emit, temp } from "./draft.ts";
import { rowCodec, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

type Clusters = Extract<Score, { readonly _tag: "Clusters" }>;

const clusterings = (blocks: ReadonlyArray<PlannedBlock>): ReadonlyArray<{ readonly moment: Moment; readonly of: Clusters }> =>
  blocks.flatMap(({ moment, verbs }) =>
    verbs.flatMap((v) => v._tag === "Remember" && v.score._tag === "Clusters" ? [{ moment, of: v.score }] : [])
  );

/** The column of a layer's cluster numbers, and the slots from one centroid to the next; null without clusters. */
export function clustersOf(blocks: ReadonlyArray<PlannedBlock>): PageForm | null {
  const all = clusterings(blocks);
  const first = all[0];
  if (first === undefined) return null;
  const strides = all.map(({ moment, of }) =>
    of.count > 0 && moment._tag === "Every" ? Math.floor(moment.steps / of.count) : Math.floor(of.per / 2)
  );
  return { rows: Math.max(2, Math.min(...strides)), labels: first.of.into };
}

/** True for a block that makes clusters: what leaves at its moment leaves before. */
export const makesClusters = ({ verbs }: PlannedBlock): boolean => verbs.some((v) => v._tag === "Remember" && v.score._tag === "Clusters");

/** Numbers for the rows that have none. */
export const cluster = (site: Site, { per, count, sinks, iterations, seed }: Clusters, column: Slot) => (draft: Draft): Draft => {
  const { shape: { kvHeads: heads, keyDim: dim }, plan, slots } = site;
  const [means, next] = temp("means", slots.capacity * dim * 4)(draft);
  const params = { heads, dim, codec: rowCodec(plan.keyCodec), per, count, sinks, iterations, seed, stride: plan.pages?.rows ?? 0 };
  return emit({ op: "kmeans", args: [slots.keys, slots.position, slots.layout, column, means], params })(next);
};

/** The centroids of all clusters as their rows are now. */
export const meanKeys = (site: Site, column: string, stride: number) => (draft: Draft): Draft => {
  const { shape: { kvHeads: heads, keyDim: dim }, plan, slots } = site;
  const labels = slots.columns[column];
  if (labels === undefined) return draft;
  const params = { heads, dim, codec: rowCodec(plan.keyCodec), stride, rowBytes: pageBytes(plan.keyCodec, dim, stride) };
  return emit({ op: "centroids", args: [slots.keys, labels, slots.layout, slots.bounds], params })(draft);
};

/** What its cluster promises each row. */
export const centroidScore = ({ shape, plan, slots }: Site, column: string, out: Slot) => (draft: Draft): Draft => {
  const labels = slots.columns[column];
  if (labels === undefined || plan.pages === null) return draft;
  const { rows: stride } = plan.pages;
  const { queryHeads: heads, kvHeads, keyDim: dim } = shape;
  const [promises, next] = temp("promises", slots.capacity * 4)(draft);
  const params = { heads, kvHeads, dim, stride, rowBytes: pageBytes(plan.keyCodec, dim, stride) };
  return emit({ op: "clusterScores", args: [slots.queries, slots.bounds, labels, slots.layout, promises, out], params })(next);
};
