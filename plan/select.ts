/**
 * Choosing the rows a query reads, ahead of its attention, and keeping the bounds of pages that the choice looks at.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { PageForm } from "../cache/types.ts";
import { pageBytes } from "../cache/view.ts";
import type { PlannedBlock } from "./blocks.ts";
import { clustersOf, makesClusters, meanKeys } from "./clusters.ts";
import { bound, emit, temp } from "./draft.ts";
import { lowerScore, startLowering } from "./lower.ts";
import { unsupported } from "./resolve.ts";
import { scoresIn } from "./scores.ts";
import { rowCodec, type Site } from "./site.ts";
import { actsAt, choose, queriesAt, type Select } from "./splice.ts";
import type { Draft, LayerPlan, Selected, SplicePoint } from "./types.ts";

const selections = (blocks: ReadonlyArray<PlannedBlock>): ReadonlyArray<Select> =>
  blocks.flatMap((b) => b.verbs).flatMap((v) => v._tag === "Select" ? [v] : []);

/** The bounds or centroids that a layer holds, or null for neither. Left if two selections would act, one looks at pages of two sizes, or rows
 * are codes. */
export function pagesOf(
  blocks: ReadonlyArray<PlannedBlock>,
  layer: number,
  { keyCodec, valueCodec }: Pick<LayerPlan, "keyCodec" | "valueCodec">,
): E.Either<KvError, PageForm | null> {
  const all = selections(blocks);
  const where = `layer ${layer}`;
  if (all.length > 1) return unsupported(`${all.length} selections`, where, "one query reads one choice of rows; keep one of them");
  if (all.length > 0 && (keyCodec._tag !== "Plain" || valueCodec._tag !== "Plain")) {
    return unsupported("a selection among coded rows", where, "rows are chosen and read one by one; store them as f16 or f32");
  }
  const clusters = clustersOf(blocks);
  if (clusters !== null) return checkClusters(blocks, layer, clusters);
  const sizes = new Set(all.flatMap(({ score }) => scoresIn(score)).flatMap((s) => s._tag === "PageBound" ? [s.page] : []));
  if (sizes.size > 1) return unsupported(`pages of ${[...sizes].join(" and ")} rows`, where, "a layer has the bounds of pages of one size");
  const [rows = 1] = sizes;
  // A row is its own bounds.
  return E.right(rows === 1 ? null : { rows, labels: null });
}

/** What the counts of rows that a layer's query reads are bound to. */
export const readsName = (layer: number): string => `L${layer}.reads`;

/** Clusters are of rows that stay, and are not made beside bounds of pages. */
function checkClusters(blocks: ReadonlyArray<PlannedBlock>, layer: number, clusters: PageForm): E.Either<KvError, PageForm> {
  const leaving = blocks.find(({ moment, verbs }) =>
    moment._tag !== "PrefillEnd" && verbs.some((v) => v._tag === "Evict" || v._tag === "Encode")
  );
  const paged = selections(blocks).flatMap(({ score }) => scoresIn(score)).some((s) => s._tag === "PageBound");
  const because = paged
    ? "a layer has room for centroids or for bounds of pages"
    : leaving !== undefined
    ? "clusters are of rows that stay where they are; evict at the end of the prompt"
    : null;
  const beside = paged ? "PageBound" : `${leaving?.verbs[0]?._tag} at ${leaving?.moment._tag}`;
  return because === null ? E.right(clusters) : unsupported(`clusters beside ${beside}`, `layer ${layer}`, because);
}

/** Bounds of the pages that hold one of the last `m` rows, or of all (0). */
const bounds = ({ shape, plan, slots }: Site, page: number, m: number): (draft: Draft) => Draft => {
  const { kvHeads: heads, keyDim: dim } = shape;
  const params = { heads, dim, codec: rowCodec(plan.keyCodec), page, m, rowBytes: pageBytes(plan.keyCodec, dim, page) };
  return emit({ op: "minmaxPages", args: [slots.keys, slots.layout, slots.bounds], params });
};

/** What must be done to bounds after the policy has acted: rows that moved make other pages, rows of a chunk new ones. */
export const keepBounds = (site: Site, point: SplicePoint, blocks: ReadonlyArray<PlannedBlock>): (draft: Draft) => Draft => (draft) => {
  if (site.plan.pages === null) return draft;
  const { rows, labels } = site.plan.pages;
  if (labels !== null) {
    const made = blocks.some((b) => actsAt(b.moment, point) && makesClusters(b));
    return made ? meanKeys(site, labels, rows)(draft) : draft;
  }
  const moved = blocks.filter((b) => actsAt(b.moment, point)).some((b) => b.verbs.some((v) => v._tag === "Evict"));
  if (moved || point._tag === "PrefillEnd") return bounds(site, rows, 0)(draft);
  return point._tag === "AfterChunk" ? bounds(site, rows, queriesAt(point))(draft) : draft;
};

/** The rows that the query of a decoded token reads, or null where it reads all. */
export const selectRows =
  (site: Site, point: SplicePoint, blocks: ReadonlyArray<PlannedBlock>) => (draft: Draft): readonly [Selected | null, Draft] => {
    const [verb] = selections(blocks.filter((b) => actsAt(b.moment, point)));
    if (verb === undefined) return [null, draft];
    const { slots, plan: { pages } } = site;
    const bounded = pages === null || pages.labels !== null ? draft : bounds(site, pages.rows, 1)(draft);
    const [score, { draft: scored }] = lowerScore(site, verb.score)(startLowering(bounded));
    const [keep, d1] = temp("read", slots.capacity * 4)(scored);
    const [counts, d2] = bound(readsName(site.layer))(d1);
    return [{ keep, counts }, choose(site, verb, score, slots.layout, keep, counts)(d2)];
  };
