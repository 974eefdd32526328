/**
 * Which layers can do without rows of their own: KVSharer's search (arXiv 2410.18517, section 3.1), pairs of layers from the most unlike
 * to the most alike. Pure but for the similarity of a trial map, which the caller measures on its model.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";

/** Mean rows of one layer over a calibration set: f32 [kvHeads, tokens, dim] each. */
export interface LayerMeans {
  /** Mean keys. */
  readonly keys: Float32Array;
  /** Mean values. */
  readonly values: Float32Array;
  /** Channels of a key, and of a value. */
  readonly dims: readonly [keys: number, values: number];
}

/** How two layers are compared: the mean over rows of the distance of rows (the authors' code), or the distance of all rows as one
 * vector (the paper). */
export type DistanceForm = "rows" | "flat";

/** What a search is asked. */
export interface SharingSearch {
  /** Layers that should lose their rows, from 0. */
  readonly share: number;
  /** A map is taken if its similarity is larger than this; default 0.5. */
  readonly threshold?: number;
  /** Default `rows`. */
  readonly form?: DistanceForm;
  /** Cosine of the last hidden states of the model under this map with those of the whole model. */
  readonly similarity: (from: ReadonlyArray<number>) => Promise<E.Either<KvError, number>>;
}

/** What it found. */
export interface SharingFound {
  /** Per layer the layer whose rows it reads; itself if it keeps its own. */
  readonly from: ReadonlyArray<number>;
  /** Layers that share; fewer than asked if the pairs ran out. */
  readonly shared: number;
  /** True if as many share as were asked for. */
  readonly complete: boolean;
  /** Similarity of the map, 1 where nothing is shared. Below about 0.8 expect the model to be hurt, writing text most of all. */
  readonly similarity: number;
  /** Trial maps that were measured. */
  readonly trials: number;
}

/** Tries pairs (i, j), i > j, from the largest distance down; ties by lower i, then lower j. Left for fewer than two layers, a number of
 * layers that leaves none, layers of unequal geometry, and whatever the measurement gives.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * const layer = (x: number, y: number) => ({ keys: Float32Array.of(x, y), values: Float32Array.of(0, 0), dims: [2, 2] as const });
 * const search = { share: 2, similarity: () => Promise.resolve(E.right(1)) };
 * const found = await searchSharing([layer(0, 0), layer(3, 4), layer(0, 1), layer(6, 8)], search);
 * assertEquals(E.isRight(found) && found.right.from, [0, 0, 2, 0]);
 * ```
 */
export async function searchSharing(
  layers: ReadonlyArray<LayerMeans>,
  { share, threshold = 0.5, form = "rows", similarity }: SharingSearch,
): Promise<E.Either<KvError, SharingFound>> {
  const wrong = checkSearch(layers, share);
  if (wrong !== null) return E.left(wrong);
  let found: SharingFound = { from: layers.map((_, l) => l), shared: 0, complete: share === 0, similarity: 1, trials: 0 };
  for (const { i, j } of pairsByDistance(layers, form)) {
    if (found.complete) break;
    if (found.from[i] !== i) continue;
    const from = resolved(found.from.map((source, l) => l === i ? j : source));
    const measured = await similarity(from);
    if (E.isLeft(measured)) return measured;
    const shared = found.shared + 1;
    // NaN is not larger than anything.
    found = measured.right > threshold
      ? { from, shared, complete: shared === share, similarity: measured.right, trials: found.trials + 1 }
      : { ...found, trials: found.trials + 1 };
  }
  return E.right(found);
}

/** Chains end at a layer that keeps its rows: sources are earlier layers, so one pass from the front resolves them. */
const resolved = (from: ReadonlyArray<number>): ReadonlyArray<number> =>
  from.reduce<ReadonlyArray<number>>((roots, source, l) => [...roots, source === l ? l : roots[source] ?? source], []);

function checkSearch(layers: ReadonlyArray<LayerMeans>, share: number): KvError | null {
  const wrong = (argument: string, value: string, allowed: string): KvError => ({ _tag: "InvalidArgument", argument, value, allowed });
  if (layers.length < 2) return wrong("layers", String(layers.length), "at least two layers: one has nobody to share with");
  if (!Number.isInteger(share) || share < 0 || share >= layers.length) {
    return wrong("share", String(share), `a whole number of layers from 0 to ${layers.length - 1}: the first keeps its rows`);
  }
  const geometry = ({ keys, values, dims }: LayerMeans): string => [keys.length, values.length, ...dims].join(" ");
  const odd = layers.findIndex((layer) => geometry(layer) !== geometry(layers[0] ?? layer));
  return odd < 0 ? null : wrong(`layers[${odd}]`, "another number or width of rows than layer 0", "layers of one geometry");
}

/** Pairs (i, j) with i > j, the most unlike first. */
function pairsByDistance(layers: ReadonlyArray<LayerMeans>, form: DistanceForm) {
  const pairs = layers.flatMap((a, i) =>
    layers.slice(0, i).map((b, j) => ({
      i,
      j,
      distance: (distance(a.keys, b.keys, form === "rows" ? a.dims[0] : a.keys.length) +
        distance(a.values, b.values, form === "rows" ? a.dims[1] : a.values.length)) / 2,
    }))
  );
  return pairs.sort((a, b) => b.distance - a.distance || a.i - b.i || a.j - b.j);
}

/** Mean over rows of `dim` numbers of the Euclidean distance of two rows; 0 of no rows. */
function distance(a: Float32Array, b: Float32Array, dim: number): number {
  if (a.length === 0) return 0;
  let sum = 0;
  for (let row = 0; row < a.length; row += dim) {
    let squares = 0;
    for (let c = row; c < row + dim; c++) squares += ((a[c] ?? NaN) - (b[c] ?? NaN)) ** 2;
    sum += Math.sqrt(squares);
  }
  return sum / (a.length / dim);
}
