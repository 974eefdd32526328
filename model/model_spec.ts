/**
 * The numbers of a model from the metadata of its file: every one is read, none is assumed, but where the GGUF
 * specification itself defines a default (`head_count_kv`, `key_length`, `value_length`, `rope.dimension_count`).
 *
 * Source: `ggml-org/ggml`, `docs/gguf.md`, and the keys that llama.cpp reads for these architectures.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { invalidFile, type KvError } from "../cache/error.ts";
import type { LayerShape, Rope } from "../cache/shape.ts";
import type { GgufFile } from "./gguf.ts";
import { optional, perLayer, realNumber, required, text, wholeNumber } from "./metadata.ts";
import type { Architecture, ModelSpec } from "./types.ts";

/** Architectures that have a forward pass. */
export const architectures: ReadonlyArray<Architecture> = ["llama", "qwen2", "qwen3"];

const mostLayers = 1024;
const mostHeads = 4096;
const mostWidth = 1 << 20;
/** Positions travel as f32 in scores, exact below this. */
const mostContext = 1 << 24;

/** Keys that change what a model computes in ways that this version does not, and the value that changes nothing. */
const unsupportedKeys: ReadonlyArray<readonly [string, number | string | boolean]> = [
  ["expert_count", 0],
  ["attention.causal", true],
  ["attention.scale", 0],
  ["attention.clamp_kqv", 0],
  ["attention.max_alibi_bias", 0],
  ["attention.sliding_window_pattern", 0],
  ["attn_logit_softcapping", 0],
  ["final_logit_softcapping", 0],
  ["logit_scale", 1],
  ["residual_scale", 1],
  ["embedding_scale", 1],
  ["use_parallel_residual", false],
  ["rope.scale_linear", 1],
];

/** Heads and dims per layer, before rotation is known. */
interface Heads {
  readonly queryHeads: ReadonlyArray<number>;
  readonly kvHeads: ReadonlyArray<number>;
  readonly keyDim: ReadonlyArray<number>;
  readonly valueDim: ReadonlyArray<number>;
}

/** The architecture that the file names, or an error that lists the supported ones. */
export const readArchitecture = (gguf: GgufFile): E.Either<KvError, Architecture> =>
  E.chain((name: string): E.Either<KvError, Architecture> => {
    const known = architectures.find((a) => a === name);
    return known !== undefined ? E.right(known) : E.left({
      _tag: "Unsupported",
      what: `architecture ${JSON.stringify(name.slice(0, 60))} of file ${gguf.file}`,
      where: "this version",
      because: `supported are ${architectures.join(", ")}`,
    });
  })(required(text)("general.architecture")(gguf));

/** The spec that the metadata states. The vocabulary's size and the optional parts come from which tensors there are;
 * `divisors` from `rope_freqs.weight`, already decoded, or null. */
export function readSpec(
  gguf: GgufFile,
  architecture: Architecture,
  parts: {
    readonly vocab: number;
    readonly qkvBias: boolean;
    readonly tiedOutput: boolean;
    readonly divisors: ReadonlyArray<number> | null;
  },
): E.Either<KvError, ModelSpec> {
  const key = (name: string): string => `${architecture}.${name}`;
  const { vocab, qkvBias, tiedOutput, divisors } = parts;
  return pipe(
    E.Do,
    E.bindW("_", () => refuseUnsupported(gguf, architecture)),
    E.bindW("count", () => required(wholeNumber(1, mostLayers))(key("block_count"))(gguf)),
    E.bindW("context", () => required(wholeNumber(1, mostContext))(key("context_length"))(gguf)),
    E.bindW("hidden", () => required(wholeNumber(1, mostWidth))(key("embedding_length"))(gguf)),
    E.bindW("ffn", ({ count }) => required(perLayer(count, 1, mostWidth))(key("feed_forward_length"))(gguf)),
    E.bindW("normEps", () => required(realNumber(0, 1))(key("attention.layer_norm_rms_epsilon"))(gguf)),
    E.bindW("heads", ({ count, hidden }) => readHeads(gguf, key, count, hidden)),
    E.bindW("window", ({ context }) =>
      E.map((w: number | null) => w === null || w >= context ? 0 : w)(
        optional(wholeNumber(0, mostContext))(key("attention.sliding_window"))(gguf),
      )),
    E.bindW("ropes", ({ heads }) => readRopes(gguf, key, heads.keyDim, divisors)),
    E.bindW("name", () => optional(text)("general.name")(gguf)),
    E.map(({ context, hidden, ffn, normEps, heads, window, ropes, name }): ModelSpec => ({
      architecture,
      name: name ?? gguf.file,
      shape: { layers: ropes.map((rope, l) => layerShape(heads, l, rope, window)), hidden, vocab, context },
      ffn,
      normEps,
      qkNorm: architecture === "qwen3",
      qkvBias,
      tiedOutput,
    })),
  );
}

const layerShape = (heads: Heads, layer: number, rope: Rope, window: number): LayerShape => {
  const keyDim = heads.keyDim[layer] ?? 0;
  return {
    queryHeads: heads.queryHeads[layer] ?? 0,
    kvHeads: heads.kvHeads[layer] ?? 0,
    keyDim,
    valueDim: heads.valueDim[layer] ?? 0,
    scale: 1 / Math.sqrt(keyDim),
    rope,
    window,
  };
};

function refuseUnsupported(gguf: GgufFile, architecture: Architecture): E.Either<KvError, null> {
  const split = gguf.metadata.get("split.count");
  if (split !== undefined && split._tag === "Number" && split.value > 1) {
    return E.left(unsupported(gguf, `one part of ${split.value}`, "models are read from one file"));
  }
  for (const [name, neutral] of unsupportedKeys) {
    const value = gguf.metadata.get(`${architecture}.${name}`);
    const same = value === undefined || ("value" in value && value.value === neutral);
    if (!same) return E.left(unsupported(gguf, `${architecture}.${name}`, `only the value ${neutral} is`));
  }
  return E.right(null);
}

const unsupported = (gguf: GgufFile, what: string, because: string): KvError => ({
  _tag: "Unsupported",
  what: `${what} in file ${gguf.file}`,
  where: "this version",
  because,
});

function readHeads(gguf: GgufFile, key: (name: string) => string, count: number, hidden: number): E.Either<KvError, Heads> {
  const dim = (name: string, queryHeads: ReadonlyArray<number>): E.Either<KvError, ReadonlyArray<number>> =>
    E.chain((given: number | null) => given !== null ? E.right(queryHeads.map(() => given)) : evenShare(gguf, key, hidden, queryHeads))(
      optional(wholeNumber(1, mostWidth))(key(name))(gguf),
    );
  return pipe(
    E.Do,
    E.bindW("queryHeads", () => required(perLayer(count, 1, mostHeads))(key("attention.head_count"))(gguf)),
    E.bindW("kvHeads", ({ queryHeads }) =>
      E.map((n: ReadonlyArray<number> | null) => n ?? queryHeads)(
        optional(perLayer(count, 1, mostHeads))(key("attention.head_count_kv"))(gguf),
      )),
    E.bindW("keyDim", ({ queryHeads }) => dim("attention.key_length", queryHeads)),
    E.bindW("valueDim", ({ queryHeads }) => dim("attention.value_length", queryHeads)),
    E.chain((heads): E.Either<KvError, Heads> => {
      const bad = heads.queryHeads.findIndex((q, l) => q % (heads.kvHeads[l] ?? 0) !== 0);
      return bad < 0 ? E.right(heads) : E.left(
        invalidFile(
          gguf,
          key("attention.head_count_kv"),
          String(heads.kvHeads[bad]),
          `a divisor of the ${heads.queryHeads[bad]} query heads`,
        ),
      );
    }),
  );
}

/** The dim that GGUF defines where a file names none: hidden width over query heads. */
function evenShare(
  gguf: GgufFile,
  key: (name: string) => string,
  hidden: number,
  queryHeads: ReadonlyArray<number>,
): E.Either<KvError, ReadonlyArray<number>> {
  const bad = queryHeads.find((h) => hidden % h !== 0);
  return bad === undefined
    ? E.right(queryHeads.map((h) => hidden / h))
    : E.left(invalidFile(gguf, key("attention.head_count"), String(bad), `a divisor of the embedding length ${hidden}`));
}

function readRopes(
  gguf: GgufFile,
  key: (name: string) => string,
  keyDim: ReadonlyArray<number>,
  divisors: ReadonlyArray<number> | null,
): E.Either<KvError, ReadonlyArray<Rope>> {
  const least = Math.min(...keyDim);
  return pipe(
    E.Do,
    E.bindW("theta", () => required(realNumber(1, 1e12))(key("rope.freq_base"))(gguf)),
    E.bindW("given", () => optional(wholeNumber(2, least))(key("rope.dimension_count"))(gguf)),
    E.bindW("factor", () => readScaling(gguf, key)),
    E.chain(({ theta, given, factor }): E.Either<KvError, ReadonlyArray<Rope>> => {
      const odd = keyDim.map((d) => given ?? d).find((d) => d % 2 !== 0);
      if (odd !== undefined) return E.left(invalidFile(gguf, key("rope.dimension_count"), String(odd), "an even number"));
      const bad = divisors === null ? undefined : keyDim.find((d) => (given ?? d) / 2 !== divisors.length);
      if (bad !== undefined) {
        const found = `${divisors?.length} values`;
        return E.left(invalidFile(gguf, "tensor rope_freqs.weight", found, `${(given ?? bad) / 2}, half the rotated channels`));
      }
      return E.right(keyDim.map((d) => ropeOf(theta, given ?? d, factor, divisors)));
    }),
  );
}

/** Linear scaling divides every angle; it joins the divisors of the file. */
function ropeOf(theta: number, dims: number, factor: number, divisors: ReadonlyArray<number> | null): Rope {
  if (divisors !== null) return { theta, dims, divisors: divisors.map((d) => d * factor) };
  return factor === 1 ? { theta, dims } : { theta, dims, divisors: new Array<number>(dims / 2).fill(factor) };
}

/** The factor of linear scaling, 1 for none. */
const readScaling = (gguf: GgufFile, key: (name: string) => string): E.Either<KvError, number> =>
  E.chain((type: string | null): E.Either<KvError, number> => {
    if (type === null || type === "none") return E.right(1);
    if (type === "linear") return required(realNumber(0, 1e6))(key("rope.scaling.factor"))(gguf);
    return E.left(
      unsupported(
        gguf,
        `${key("rope.scaling.type")} ${JSON.stringify(type.slice(0, 60))}`,
        "supported are none, linear and a rope_freqs.weight tensor",
      ),
    );
  })(optional(text)(key("rope.scaling.type"))(gguf));
