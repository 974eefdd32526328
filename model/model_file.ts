/**
 * A GGUF file as a model: spec, exactly the tensors that the spec calls for, and a tokenizer on demand.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { invalidFile, type KvError } from "../cache/error.ts";
import type { WeightType } from "../backends/backend.ts";
import { blockForms, weightTypes } from "../backends/blocks.ts";
import type { GgufFile, GgufTensor } from "./gguf.ts";
import { parseGguf } from "./gguf.ts";
import { readArchitecture, readSpec } from "./model_spec.ts";
import { notFinite } from "./scales.ts";
import { readTokenizer } from "./tokenizer.ts";
import type { Architecture, ModelFile, ModelSpec, ModelTensor, Tokenizer } from "./types.ts";

/** A tensor that a spec calls for. `heads` is set where rows are the channels of that many rotated heads. */
interface Wanted {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly vector: boolean;
  readonly heads?: { readonly count: number; readonly dims: number };
}

/** Reads and checks a model file. Left: `InvalidFile` or `Unsupported`, naming the key or the tensor.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { showError } from "../cache/error.ts";
 * const header = new Uint8Array(24);
 * header.set(new TextEncoder().encode("GGUF"));
 * header[4] = 3; // version 3, no tensors, no metadata
 * const file = readModelFile("empty.gguf", header);
 * assertEquals(
 *   E.isLeft(file) && showError(file.left),
 *   "file empty.gguf: general.architecture: found no such key, allowed is text",
 * );
 * ```
 */
export const readModelFile = (name: string, bytes: Uint8Array): E.Either<KvError, ModelFile> => E.chain(modelOf)(parseGguf(name, bytes));

/** The model in a parsed file. */
export const modelOf = (gguf: GgufFile): E.Either<KvError, ModelFile> =>
  pipe(
    E.Do,
    E.bindW("architecture", () => readArchitecture(gguf)),
    E.bindW("divisors", ({ architecture }) => readDivisors(gguf, architecture)),
    E.bindW("vocab", () => readVocab(gguf)),
    E.bindW("spec", ({ architecture, divisors, vocab }) =>
      readSpec(gguf, architecture, {
        vocab,
        divisors,
        qkvBias: architecture === "qwen2" || (architecture === "llama" && gguf.tensors.has("blk.0.attn_q.bias")),
        tiedOutput: !gguf.tensors.has("output.weight"),
      })),
    E.bindW("tensors", ({ spec, divisors }) => readTensors(gguf, wantedTensors(spec), divisors !== null)),
    E.map(({ spec, tensors }): ModelFile => ({
      spec,
      tensors,
      bytes: gguf.bytes,
      tokenizer: once(() => readTokenizer(gguf, spec.shape.vocab)),
    })),
  );

/** The thunk, run at most once: a vocabulary takes a second to build. */
function once(make: () => E.Either<KvError, Tokenizer>): () => E.Either<KvError, Tokenizer> {
  let made: E.Either<KvError, Tokenizer> | null = null;
  return () => made ??= make();
}

/** Rows of the embedding, which must agree with what the metadata says about the vocabulary. */
function readVocab(gguf: GgufFile): E.Either<KvError, number> {
  const tensor = gguf.tensors.get("token_embd.weight");
  if (tensor === undefined) return E.left(invalidFile(gguf, "tensor token_embd.weight", "no such tensor", "the token embedding"));
  const rows = tensor.dims[1] ?? 1;
  const tokens = gguf.metadata.get("tokenizer.ggml.tokens");
  if (tokens === undefined || (tokens._tag === "Strings" && tokens.count === rows)) return E.right(rows);
  const found = tokens._tag === "Strings" ? `${tokens.count} tokens` : `a value of kind ${tokens._tag}`;
  return E.left(invalidFile(gguf, "tokenizer.ggml.tokens", found, `one text for each of the ${rows} rows of token_embd.weight`));
}

/** Llama 3.1 keeps its frequency scaling as a tensor of divisors. */
function readDivisors(gguf: GgufFile, architecture: Architecture): E.Either<KvError, ReadonlyArray<number> | null> {
  const tensor = architecture === "llama" ? gguf.tensors.get("rope_freqs.weight") : undefined;
  if (tensor === undefined) return E.right(null);
  const what = "tensor rope_freqs.weight";
  if (tensor.type !== "F32" || tensor.dims.length !== 1) {
    return E.left(invalidFile(gguf, what, `${tensor.type} of ${tensor.dims.join(" x ")}`, "one row of F32"));
  }
  const view = new DataView(tensor.bytes.buffer, tensor.bytes.byteOffset, tensor.bytes.byteLength);
  const values = Array.from({ length: tensor.bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  const bad = values.find((v) => !(Number.isFinite(v) && v > 0));
  return bad === undefined ? E.right(values) : E.left(invalidFile(gguf, what, String(bad), "finite numbers above 0"));
}

/** Every tensor of a model, in the order of use. */
function wantedTensors(spec: ModelSpec): ReadonlyArray<Wanted> {
  const { hidden, vocab, layers } = spec.shape;
  const matrix = (name: string, rows: number, cols: number): Wanted => ({ name: `${name}.weight`, rows, cols, vector: false });
  const vector = (name: string, cols: number): Wanted => ({ name, rows: 1, cols, vector: true });
  const perLayer = layers.flatMap((shape, l): ReadonlyArray<Wanted> => {
    const at = (part: string): string => `blk.${l}.${part}`;
    const q = shape.queryHeads * shape.keyDim;
    const k = shape.kvHeads * shape.keyDim;
    const v = shape.kvHeads * shape.valueDim;
    const ffn = spec.ffn[l] ?? 0;
    // Only llama files pair channels (2i, 2i+1); their rows are put back.
    const rotated = (count: number) => spec.architecture === "llama" ? { heads: { count, dims: shape.rope.dims } } : {};
    const biases = [
      { ...vector(at("attn_q.bias"), q), ...rotated(shape.queryHeads) },
      { ...vector(at("attn_k.bias"), k), ...rotated(shape.kvHeads) },
      vector(at("attn_v.bias"), v),
    ];
    return [
      vector(at("attn_norm.weight"), hidden),
      { ...matrix(at("attn_q"), q, hidden), ...rotated(shape.queryHeads) },
      { ...matrix(at("attn_k"), k, hidden), ...rotated(shape.kvHeads) },
      matrix(at("attn_v"), v, hidden),
      ...spec.qkvBias ? biases : [],
      ...spec.qkNorm ? [vector(at("attn_q_norm.weight"), shape.keyDim), vector(at("attn_k_norm.weight"), shape.keyDim)] : [],
      matrix(at("attn_output"), hidden, shape.queryHeads * shape.valueDim),
      vector(at("ffn_norm.weight"), hidden),
      matrix(at("ffn_gate"), ffn, hidden),
      matrix(at("ffn_up"), ffn, hidden),
      matrix(at("ffn_down"), hidden, ffn),
    ];
  });
  return [
    matrix("token_embd", vocab, hidden),
    ...perLayer,
    vector("output_norm.weight", hidden),
    ...spec.tiedOutput ? [] : [matrix("output", vocab, hidden)],
  ];
}

/** Exactly the wanted tensors: none missing, none left over, each of its shape. */
function readTensors(
  gguf: GgufFile,
  wanted: ReadonlyArray<Wanted>,
  divisorsRead: boolean,
): E.Either<KvError, ReadonlyMap<string, ModelTensor>> {
  const tensors = new Map<string, ModelTensor>();
  for (const want of wanted) {
    const tensor = readTensor(gguf, want);
    if (E.isLeft(tensor)) return tensor;
    tensors.set(want.name, tensor.right);
  }
  const left = [...gguf.tensors.keys()].find((n) => !tensors.has(n) && !(divisorsRead && n === "rope_freqs.weight"));
  return left === undefined
    ? E.right(tensors)
    : E.left(invalidFile(gguf, `tensor ${left}`, "a tensor that this architecture does not use", "only the tensors of the architecture"));
}

const plain: ReadonlyArray<WeightType> = weightTypes.filter((t) => blockForms[t].elements === 1);

function readTensor(gguf: GgufFile, want: Wanted): E.Either<KvError, ModelTensor> {
  const tensor = gguf.tensors.get(want.name);
  const what = `tensor ${want.name}`;
  const shape = want.vector ? `${want.cols}` : `${want.cols} x ${want.rows}`;
  if (tensor === undefined) return E.left(invalidFile(gguf, what, "no such tensor", `a tensor of ${shape}`));
  const [cols, rows, ...rest] = tensor.dims;
  if (cols !== want.cols || (rows ?? 1) !== want.rows || rest.some((d) => d !== 1)) {
    return E.left(invalidFile(gguf, what, `${tensor.dims.join(" x ")}`, shape));
  }
  if (want.vector && !plain.includes(tensor.type)) return E.left(invalidFile(gguf, what, `type ${tensor.type}`, plain.join(", ")));
  const found = notFinite(tensor.type, tensor.bytes);
  if (found !== null) return E.left(invalidFile(gguf, what, `a scale of ${found.scale} in block ${found.block}`, "finite scales"));
  return E.right({ name: want.name, type: tensor.type, rows: want.rows, cols: want.cols, bytes: channelsInOrder(tensor, want) });
}

/** The bytes with each head's channels in half-split order: channel `s * dims/2 + i` was stored at `2i + s`. Rows are whole
 * blocks, so they move as bytes. */
function channelsInOrder({ bytes }: GgufTensor, { rows, cols, vector, heads }: Wanted): Uint8Array {
  if (heads === undefined) return bytes;
  const channels = vector ? cols : rows;
  const width = bytes.length / channels;
  const perHead = channels / heads.count;
  const half = heads.dims / 2;
  const out = bytes.slice();
  for (let h = 0; h < heads.count; h++) {
    for (let c = 0; c < heads.dims; c++) {
      const from = (h * perHead + 2 * (c % half) + Math.floor(c / half)) * width;
      out.set(bytes.subarray(from, from + width), (h * perHead + c) * width);
    }
  }
  return out;
}
