/**
 * Surrogates: small networks that predict a row's score from the hidden state of its token, one per layer, trained for one model. Files
 * have the names and shapes of the published KVzap weights: `layers.{l}.weight` [kvHeads, hidden] and `layers.{l}.bias` [kvHeads] for a
 * linear one, `layers.{l}.0.…` [inner, hidden] and `layers.{l}.2.…` [kvHeads, inner] for one with an inner layer; or those of the gates of
 * Fast KVzip under `layers.{l}.`: `q_proj.weight` and `.bias`, `k_proj.weight`, `q_norm.weight`, `k_norm.weight`, `k_base`
 * [kvHeads, 1, sinks, inner] and `b` [kvHeads, 1, group]; or those of a gate of Write-Gated KV, see
 * `gate_file.ts`.
 *
 * Source: KVzap, arXiv 2601.07891, section 3.2; Fast KVzip, arXiv 2601.17668, section 3; input is the hidden state after the input norm.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { invalidFile, type KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import { learnedWeight } from "../plan/learned.ts";
import type { LearnedForm } from "../plan/types.ts";
import { gateInner, gateParts, readGate } from "./gate_file.ts";
import type { Safetensors } from "./safetensors.ts";
import { checked } from "./surrogate_tensor.ts";
import type { ModelTensor } from "./types.ts";

/** A surrogate that fits its model. */
export interface Surrogate {
  /** What computes the score, per layer. */
  readonly forms: ReadonlyArray<LearnedForm>;
  /** Its weights under the names that programs use, `learned.{score}.{layer}.{part}`. */
  readonly tensors: ReadonlyArray<ModelTensor>;
}

/** The surrogate in a file, for the score `score` of a model of this shape. Left: `InvalidFile` that names the tensor which is missing,
 * left over, of another shape, or holds a number that is not finite.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { showError } from "../cache/error.ts";
 * import { uniformShape } from "../cache/mod.ts";
 * const shape = uniformShape({ layers: 2, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const none = readSurrogate("kvzap-linear", shape)({ file: "w", metadata: new Map(), tensors: new Map() });
 * assertEquals(
 *   E.isLeft(none) && showError(none.left),
 *   "file w: tensor layers.0.weight: found no such tensor, allowed is 1 x 4 for this model",
 * );
 * ```
 */
export const readSurrogate = (score: string, shape: ModelShape): (file: Safetensors) => E.Either<KvError, Surrogate> => (file) => {
  const forms: LearnedForm[] = [];
  const tensors: ModelTensor[] = [];
  for (const [l, layer] of shape.layers.entries()) {
    const form = formOf(file, l);
    forms.push(form);
    if (form._tag === "KeyGate") {
      const gate = readGate(file, score, l, layer, form.inner);
      if (E.isLeft(gate)) return gate;
      tensors.push(...gate.right);
      continue;
    }
    for (const { part, axes } of partsOf(form, layer, shape.hidden)) {
      const tensor = checked(file, `layers.${l}.${part}`, axes);
      if (E.isLeft(tensor)) return tensor;
      const { type, bytes } = tensor.right;
      const [rows = 1, cols = 1] = axes.length === 2 ? axes : [1, axes.reduce((a, b) => a * b, 1)];
      tensors.push({ name: learnedWeight(score, l, part), type, rows, cols, bytes });
    }
  }
  const used = new Set(
    shape.layers.flatMap((layer, l) => (forms[l] === undefined ? [] : namesOf(forms[l], layer)).map((part) => `layers.${l}.${part}`)),
  );
  const left = [...file.tensors.keys()].find((name) => !used.has(name));
  return left === undefined
    ? E.right({ forms, tensors })
    : E.left(invalidFile(file, `tensor ${left}`, "a tensor too many", `those of ${shape.layers.length} layers for this model`));
};

/** The learned score that a file of weights is for, by its form. */
export const surrogateName = (file: Safetensors): "kvzap-mlp" | "kvzap-linear" | "fastkvzip" | "wgkv" => nameOfForm[formOf(file, 0)._tag];

const nameOfForm = { Mlp: "kvzap-mlp", Linear: "kvzap-linear", Gate: "fastkvzip", KeyGate: "wgkv" } as const;

/** Tensors of a layer, as files name them. */
const namesOf = (form: LearnedForm, layer: LayerShape): ReadonlyArray<string> =>
  form._tag === "KeyGate" ? gateParts : partsOf(form, layer, 0).map(({ part }) => part);

/** The surrogates of a model by the names that scores have for them, or the first fault. */
export function readSurrogates(
  shape: ModelShape,
  files: Readonly<Record<string, Safetensors>>,
): E.Either<KvError, Readonly<Record<string, Surrogate>>> {
  const read = Object.entries(files).map(([score, file]) => [score, readSurrogate(score, shape)(file)] as const);
  const wrong = read.map(([, surrogate]) => surrogate).find(E.isLeft);
  return wrong ?? E.right(Object.fromEntries(read.flatMap(([score, s]) => E.isRight(s) ? [[score, s.right] as const] : [])));
}

/** A tensor of a layer as the file names it, and its shape there. */
interface Part {
  readonly part: string;
  readonly axes: ReadonlyArray<number>;
}

/** One layer's tensors. */
function partsOf(
  form: Exclude<LearnedForm, { readonly _tag: "KeyGate" }>,
  { queryHeads, kvHeads: heads }: LayerShape,
  hidden: number,
): ReadonlyArray<Part> {
  switch (form._tag) {
    case "Linear":
      return [{ part: "weight", axes: [heads, hidden] }, { part: "bias", axes: [heads] }];
    case "Mlp":
      return [
        { part: "0.weight", axes: [form.inner, hidden] },
        { part: "0.bias", axes: [form.inner] },
        { part: "2.weight", axes: [heads, form.inner] },
        { part: "2.bias", axes: [heads] },
      ];
    case "Gate":
      return [
        { part: "q_proj.weight", axes: [queryHeads * form.inner, hidden] },
        { part: "q_proj.bias", axes: [queryHeads * form.inner] },
        { part: "k_proj.weight", axes: [heads * form.inner, hidden] },
        { part: "q_norm.weight", axes: [form.inner] },
        { part: "k_norm.weight", axes: [form.inner] },
        { part: "k_base", axes: [heads, 1, form.sinks, form.inner] },
        { part: "b", axes: [heads, 1, queryHeads / heads] },
      ];
  }
}

function formOf(file: Safetensors, l: number): LearnedForm {
  const { tensors } = file;
  const inner = gateInner(file, l);
  if (inner !== null) return { _tag: "KeyGate", inner };
  const base = tensors.get(`layers.${l}.k_base`);
  if (base !== undefined) return { _tag: "Gate", sinks: base.shape[2] ?? 0, inner: base.shape[3] ?? 0 };
  const first = tensors.get(`layers.${l}.0.weight`);
  return first === undefined ? { _tag: "Linear" } : { _tag: "Mlp", inner: first.shape[0] ?? 0 };
}
