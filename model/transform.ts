/**
 * Calibrated transforms of a model's rows, for KVTC (arXiv 2511.01815): per group of neighbouring layers, and for keys (before rotation) and
 * values apart, the mean and the principal components of the rows of one token in all heads of all these layers. Files are safetensors:
 * `{keys,values}.{group}.mean` [width], `.basis` [rank, width], `.energy` [rank], and `.error` [types, sizes, rank], the squared errors from
 * which bit plans for any ratio are made.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { type BitPlan, type CoefficientType, coefficientTypes, groupSizes, planBits } from "../cache/bit_plan.ts";
import { invalidFile, type KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import { type Safetensors, type SafetensorsTensor, tensorNumbers } from "./safetensors.ts";

/** Keys and values are transformed apart. */
export const streams = ["keys", "values"] as const;
/** One of {@link streams}. */
export type Stream = typeof streams[number];

/** Types whose errors a file lists, in its order. */
export const measuredTypes: ReadonlyArray<CoefficientType> = coefficientTypes.filter((type) => type !== "none");

/** The transform of one group of layers, of keys or of values. */
export interface Transform {
  /** First layer. */
  readonly from: number;
  /** Layer after the last. */
  readonly to: number;
  /** Numbers of one token: over layers, heads and channels, in this order. */
  readonly width: number;
  /** Components. */
  readonly rank: number;
  /** f32 [width]. */
  readonly mean: Float32Array;
  /** f16 bits [rank, width]: rows are orthonormal, in the order of falling variance. */
  readonly basis: Uint16Array;
  /** Squared length of the calibration rows in each component. */
  readonly energy: Float64Array;
  /** f32 [types, sizes, rank]: at (t, s, end - 1) the squared error of the group that ends before `end`. */
  readonly error: Float32Array;
}

/** All transforms of a model. */
export interface Transforms {
  /** SHA-256 of the file they come from: with others, codes decode to plausible nonsense. */
  readonly digest: string;
  /** In the order of layers, without gaps. */
  readonly groups: ReadonlyArray<Readonly<Record<Stream, Transform>>>;
}

/** Numbers of one token in these layers. */
export const widthOf = (layers: ReadonlyArray<LayerShape>, stream: Stream): number =>
  layers.reduce((sum, { kvHeads, keyDim, valueDim }) => sum + kvHeads * (stream === "keys" ? keyDim : valueDim), 0);

/** The bit plan of a transform at a ratio: as many bits per token as 16-bit numbers would take, divided by it. */
export const planAt = ({ width, rank, energy, error }: Transform, ratio: number): BitPlan =>
  planBits({
    energy,
    error: (end, size, type) =>
      error[(measuredTypes.indexOf(type) * groupSizes.length + groupSizes.indexOf(size)) * rank + end - 1] ?? Infinity,
  }, Math.floor(16 * width / ratio));

/** The transforms in a file for a model of this shape, whose weights have this SHA-256. Left: `InvalidFile` that names what is missing, of
 * another shape or not finite, or says that the file belongs to other weights. */
export function readTransforms(
  file: Safetensors,
  digest: string,
  { layers }: Pick<ModelShape, "layers">,
  weights: string,
): E.Either<KvError, Transforms> {
  const made = file.metadata.get("weights");
  if (file.metadata.get("kind") !== "kvtc") {
    return E.left(invalidFile(file, "kind", file.metadata.get("kind") ?? "none", "kvtc, as kvfold train kvtc writes it"));
  }
  if (made !== weights) return E.left(invalidFile(file, "weights", made ?? "none", `${weights}, the SHA-256 of those of this model`));
  const per = Number(file.metadata.get("layersPerGroup"));
  if (!Number.isSafeInteger(per) || per < 1) return E.left(invalidFile(file, "layersPerGroup", String(per), "a whole number of layers"));
  const groups: Readonly<Record<Stream, Transform>>[] = [];
  for (let from = 0; from < layers.length; from += per) {
    const to = Math.min(layers.length, from + per);
    const [keys, values] = streams.map((stream) =>
      readTransform(file, stream, groups.length, { from, to }, widthOf(layers.slice(from, to), stream))
    );
    if (keys === undefined || values === undefined) continue;
    if (E.isLeft(keys)) return keys;
    if (E.isLeft(values)) return values;
    groups.push({ keys: keys.right, values: values.right });
  }
  return E.right({ digest, groups });
}

function readTransform(
  file: Safetensors,
  stream: Stream,
  group: number,
  range: Pick<Transform, "from" | "to">,
  width: number,
): E.Either<KvError, Transform> {
  const name = (part: string): string => `${stream}.${group}.${part}`;
  const rank = file.tensors.get(name("energy"))?.shape[0] ?? 0;
  if (rank < 1 || rank > width) {
    return E.left(invalidFile(file, `tensor ${name("energy")}`, `${rank} components`, `1 to ${width} for this model`));
  }
  const wanted = { mean: [width], basis: [rank, width], energy: [rank], error: [measuredTypes.length, groupSizes.length, rank] };
  const found: Partial<Record<keyof typeof wanted, SafetensorsTensor>> = {};
  for (const [part, shape] of Object.entries(wanted)) {
    const tensor = file.tensors.get(name(part));
    if (tensor === undefined || tensor.shape.join() !== shape.join() || (part === "basis") !== (tensor.type === "F16")) {
      return E.left(
        invalidFile(
          file,
          `tensor ${name(part)}`,
          tensor === undefined ? "no such tensor" : `${tensor.type} of ${tensor.shape.join(" x ")}`,
          `${part === "basis" ? "F16" : "F32"} of ${shape.join(" x ")} for this model`,
        ),
      );
    }
    const bad = tensorNumbers(tensor).find((x) => !Number.isFinite(x) || (part === "error" || part === "energy") && x < 0);
    if (bad !== undefined) return E.left(invalidFile(file, `tensor ${name(part)}`, String(bad), "finite numbers"));
    found[part as keyof typeof wanted] = tensor;
  }
  const { mean, basis, energy, error } = found;
  if (mean === undefined || basis === undefined || energy === undefined || error === undefined) {
    return E.left(invalidFile(file, name(""), "a gap", "all parts"));
  }
  return E.right({
    ...range,
    width,
    rank,
    mean: tensorNumbers(mean),
    basis: new Uint16Array(Uint8Array.from(basis.bytes).buffer),
    energy: Float64Array.from(tensorNumbers(energy)),
    error: tensorNumbers(error),
  });
}
