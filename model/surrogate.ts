/**
 * Surrogates: small networks that predict a row's score from the hidden state of its token, one per layer, trained for one model. Files
 * have the names and shapes of the published KVzap weights: `layers.{l}.weight` [kvHeads, hidden] and `layers.{l}.bias` [kvHeads] for a
 * linear one, `layers.{l}.0.…` [inner, hidden] and `layers.{l}.2.…` [kvHeads, inner] for one with an inner layer; or those of a gate of
 * Write-Gated KV, see `gate_file.ts`.
 *
 * Source: KVzap, arXiv 2601.07891, section 3.2; input is the hidden state after the input norm.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { ModelShape } from "../cache/shape.ts";
import { learnedWeight } from "../plan/learned.ts";
import type { LearnedForm } from "../plan/types.ts";
import { gateInner, gateParts, readGate } from "./gate_file.ts";
import type { Safetensors } from "./safetensors.ts";
import { checked, wrong } from "./surrogate_tensor.ts";
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
    if (form._tag === "Gate") {
      const gate = readGate(file, score, l, layer, form.inner);
      if (E.isLeft(gate)) return gate;
      tensors.push(...gate.right);
      continue;
    }
    const { kvHeads } = layer;
    for (const { part, rows, cols } of partsOf(form, kvHeads, shape.hidden)) {
      const tensor = checked(file, `layers.${l}.${part}`, part.endsWith("bias") ? [cols] : [rows, cols]);
      if (E.isLeft(tensor)) return tensor;
      const { type, bytes } = tensor.right;
      tensors.push({ name: learnedWeight(score, l, part), type, rows, cols, bytes });
    }
  }
  const used = new Set(forms.flatMap((form, l) => namesOf(form).map((part) => `layers.${l}.${part}`)));
  const left = [...file.tensors.keys()].find((name) => !used.has(name));
  return left === undefined
    ? E.right({ forms, tensors })
    : E.left(wrong(file, `tensor ${left}`, "a tensor too many", `those of ${shape.layers.length} layers for this model`));
};

/** The score that a file of published weights is for, by its form. */
export const surrogateName = (file: Safetensors): "kvzap-mlp" | "kvzap-linear" | "wgkv" => nameOfForm[formOf(file, 0)._tag];

const nameOfForm = { Mlp: "kvzap-mlp", Linear: "kvzap-linear", Gate: "wgkv" } as const;

/** Tensors of a layer, as files name them. */
const namesOf = (form: LearnedForm): ReadonlyArray<string> =>
  form._tag === "Gate" ? gateParts : partsOf(form, 0, 0).map(({ part }) => part);

/** The surrogates of a model by the names that scores have for them, or the first fault. */
export function readSurrogates(
  shape: ModelShape,
  files: Readonly<Record<string, Safetensors>>,
): E.Either<KvError, Readonly<Record<string, Surrogate>>> {
  const read = Object.entries(files).map(([score, file]) => [score, readSurrogate(score, shape)(file)] as const);
  const wrong = read.map(([, surrogate]) => surrogate).find(E.isLeft);
  return wrong ?? E.right(Object.fromEntries(read.flatMap(([score, s]) => E.isRight(s) ? [[score, s.right] as const] : [])));
}

/** One layer's tensors as the file names them; a bias is one row. */
const partsOf = (
  form: Exclude<LearnedForm, { readonly _tag: "Gate" }>,
  heads: number,
  hidden: number,
): ReadonlyArray<Pick<ModelTensor, "rows" | "cols"> & { part: string }> =>
  form._tag === "Linear" ? [{ part: "weight", rows: heads, cols: hidden }, { part: "bias", rows: 1, cols: heads }] : [
    { part: "0.weight", rows: form.inner, cols: hidden },
    { part: "0.bias", rows: 1, cols: form.inner },
    { part: "2.weight", rows: heads, cols: form.inner },
    { part: "2.bias", rows: 1, cols: heads },
  ];

function formOf(file: Safetensors, l: number): LearnedForm {
  const gate = gateInner(file, l);
  if (gate !== null) return { _tag: "Gate", inner: gate };
  const first = file.tensors.get(`layers.${l}.0.weight`);
  return first === undefined ? { _tag: "Linear" } : { _tag: "Mlp", inner: first.shape[0] ?? 0 };
}
