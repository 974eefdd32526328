import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { WeightType } from "../backends/backend.ts";
import { blockForms } from "../backends/blocks.ts";
import { showError } from "../cache/error.ts";
import { f32, type GgufInput, i32s, type Meta, string, strings, type TensorInput, u32, writeGguf } from "../tests/support/gguf_writer.ts";
import { tiny, tinyInput, tinyOf, type TinyOptions } from "../tests/support/tiny_model.ts";
import { readModelFile } from "./model_file.ts";
import type { ModelFile } from "./types.ts";

const read = (input: GgufInput): ModelFile => {
  const file = readModelFile("m.gguf", writeGguf(input));
  if (E.isLeft(file)) throw new Error(showError(file.left));
  return file.right;
};
const sentence = (input: GgufInput): string => {
  const file = readModelFile("m.gguf", writeGguf(input));
  return E.isLeft(file) ? showError(file.left) : "read";
};

const small = tinyInput(tiny("llama"));
/** The small llama with keys set (null: removed). */
const withKeys = (keys: Readonly<Record<string, Meta | null>>, input: GgufInput = small): GgufInput => ({
  ...input,
  metadata: [
    ...input.metadata.filter(([key]) => !(key in keys)),
    ...Object.entries(keys).flatMap(([key, meta]) => meta === null ? [] : [[key, meta] as const]),
  ],
});
const withTensors = (change: (tensors: ReadonlyArray<TensorInput>) => ReadonlyArray<TensorInput>, input: GgufInput = small): GgufInput => ({
  ...input,
  tensors: change(input.tensors),
});
const without = (name: string) => (tensors: ReadonlyArray<TensorInput>): ReadonlyArray<TensorInput> =>
  tensors.filter((t) => t.name !== name);
const vector = (name: string, values: ReadonlyArray<number>): TensorInput => ({
  name,
  type: "F32",
  dims: [values.length],
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

Deno.test("every number of the spec comes from the file", () => {
  const { spec, bytes } = read(small);
  assertEquals(spec, {
    architecture: "llama",
    name: "tiny",
    shape: {
      layers: Array.from({ length: 2 }, () => ({
        queryHeads: 4,
        kvHeads: 2,
        keyDim: 16,
        valueDim: 16,
        scale: 0.25,
        rope: { theta: 10000, dims: 16 },
        window: 0,
      })),
      hidden: 64,
      vocab: 288,
      context: 512,
    },
    ffn: [96, 96],
    normEps: Math.fround(1e-5),
    qkNorm: false,
    qkvBias: false,
    tiedOutput: false,
  });
  assertEquals(bytes, writeGguf(small).length);
});

Deno.test("architectures differ in biases, head norms and head dims; the tensors are exactly those of the spec", () => {
  const facts = (options: TinyOptions) => {
    const { spec, tensors } = read(tinyInput(options));
    return [spec.qkvBias, spec.qkNorm, spec.tiedOutput, spec.shape.layers[0]?.keyDim, tensors.size];
  };
  assertEquals(facts(tiny("llama")), [false, false, false, 16, 3 + 2 * 9]);
  assertEquals(facts(tiny("qwen2")), [true, false, true, 16, 2 + 2 * 12]);
  assertEquals(facts(tiny("qwen3")), [false, true, true, 32, 2 + 2 * 11]);
});

Deno.test("layers may differ: arrays of heads and widths", () => {
  const { spec } = read(withKeys({ "llama.attention.head_count_kv": i32s([2, 2]), "llama.feed_forward_length": i32s([96, 96]) }));
  assertEquals(spec.shape.layers.map((l) => l.kvHeads), [2, 2]);
  assertEquals(
    sentence(withKeys({ "llama.feed_forward_length": i32s([96, 32]) })),
    "file m.gguf: tensor blk.1.ffn_gate.weight: found 64 x 96, allowed is 64 x 32",
  );
});

Deno.test("defaults are those of the format: KV heads, head dims, rotated channels", () => {
  const keys = ["llama.attention.head_count_kv", "llama.rope.dimension_count"];
  const input = tinyInput(tiny("llama", { kvHeads: 4 }));
  const { spec } = read(withKeys(Object.fromEntries(keys.map((k) => [k, null])), input));
  const [layer] = spec.shape.layers;
  assertEquals([layer?.kvHeads, layer?.keyDim, layer?.valueDim, layer?.rope.dims], [4, 16, 16, 16]);
});

Deno.test("divisors come from rope_freqs.weight and from linear scaling, which multiply", () => {
  const divisors = (input: GgufInput) => read(input).spec.shape.layers[0]?.rope.divisors;
  const linear = { "llama.rope.scaling.type": string("linear"), "llama.rope.scaling.factor": f32(4) };
  const freqs = withTensors((ts) => [...ts, vector("rope_freqs.weight", [1, 2, 3, 4, 5, 6, 7, 8])]);
  assertEquals(divisors(withKeys({ "llama.rope.scaling.type": string("none") })), undefined);
  assertEquals(divisors(withKeys(linear)), new Array(8).fill(4));
  assertEquals(divisors(freqs), [1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals(divisors(withKeys(linear, freqs)), [4, 8, 12, 16, 20, 24, 28, 32]);
  assertEquals(read(freqs).tensors.has("rope_freqs.weight"), false);
});

Deno.test("a window shorter than the context holds for every layer; a longer one is none", () => {
  const window = (positions: number) =>
    read(withKeys({ "llama.attention.sliding_window": u32(positions) })).spec.shape.layers.map((l) => l.window);
  assertEquals([window(64), window(512)], [[64, 64], [0, 0]]);
});

Deno.test("Q and K rows of llama files are back in half-split order, as blocks; V rows and other architectures keep theirs", () => {
  /** Row r of a matrix is filled with bytes r, but for its scales, which are finite. */
  const numbered = (tensors: ReadonlyArray<TensorInput>): ReadonlyArray<TensorInput> =>
    tensors.map((t) =>
      t.name.includes("attn_") && t.dims.length === 2
        ? { ...t, bytes: t.bytes.map((_, i) => i % 144 < 4 ? 0 : Math.floor(i / 144) % 256) }
        : t
    );
  const rows = (input: GgufInput, name: string): ReadonlyArray<number> => {
    const tensor = read(input).tensors.get(name);
    return Array.from({ length: tensor?.rows ?? 0 }, (_, r) => tensor?.bytes[r * 144 + 4] ?? -1);
  };
  const llama = withTensors(numbered, tinyInput({ ...tinyOf("Q4_K"), queryHeads: 4, kvHeads: 2 }));
  const head = (h: number) => Array.from({ length: 64 }, (_, c) => 64 * h + 2 * (c % 32) + Math.floor(c / 32));
  assertEquals(rows(llama, "blk.0.attn_q.weight"), [0, 1, 2, 3].flatMap(head));
  assertEquals(rows(llama, "blk.0.attn_k.weight"), [0, 1].flatMap(head));
  assertEquals(rows(llama, "blk.0.attn_v.weight"), Array.from({ length: 128 }, (_, r) => r));
  const qwen = withTensors(numbered, tinyInput({ ...tinyOf("Q4_K"), architecture: "qwen3" }));
  assertEquals(rows(qwen, "blk.0.attn_q.weight"), Array.from({ length: 256 }, (_, r) => r));
});

Deno.test("biases of llama files move with their rows; only rotated channels move", () => {
  const count = (n: number) => Array.from({ length: n }, (_, i) => i);
  const biased = withTensors((ts) => [
    ...ts,
    ...[0, 1].flatMap((l) => [
      vector(`blk.${l}.attn_q.bias`, count(64)),
      vector(`blk.${l}.attn_k.bias`, count(32)),
      vector(`blk.${l}.attn_v.bias`, count(32)),
    ]),
  ]);
  const { spec, tensors } = read(withKeys({ "llama.rope.dimension_count": u32(8) }, biased));
  const bias = tensors.get("blk.1.attn_q.bias");
  const values = bias === undefined ? [] : [...new Float32Array(bias.bytes.slice().buffer)];
  assertEquals(spec.qkvBias, true);
  assertEquals(values.slice(0, 16), [0, 2, 4, 6, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
});

Deno.test("unknown architectures, and features that would change the numbers", () => {
  assertEquals(
    sentence(withKeys({ "general.architecture": string("mamba") })),
    'architecture "mamba" of file m.gguf is not supported by this version: supported are llama, qwen2, qwen3',
  );
  assertEquals(
    sentence(withKeys({ "llama.rope.scaling.type": string("yarn") })),
    'llama.rope.scaling.type "yarn" in file m.gguf is not supported by this version: supported are none, linear and a rope_freqs.weight tensor',
  );
  assertEquals(
    sentence(withKeys({ "llama.expert_count": u32(8) })),
    "llama.expert_count in file m.gguf is not supported by this version: only the value 0 is",
  );
  assertEquals(
    sentence(withKeys({ "split.count": u32(3) })),
    "one part of 3 in file m.gguf is not supported by this version: models are read from one file",
  );
});

Deno.test("missing keys are named, none is guessed", () => {
  const missing = (key: string): string => sentence(withKeys({ [key]: null }));
  const allowed: Readonly<Record<string, string>> = {
    "general.architecture": "text",
    "llama.block_count": "a whole number from 1 to 1024",
    "llama.context_length": "a whole number from 1 to 16777216",
    "llama.embedding_length": "a whole number from 1 to 1048576",
    "llama.feed_forward_length": "a whole number from 1 to 1048576, or 2 of them",
    "llama.attention.head_count": "a whole number from 1 to 4096, or 2 of them",
    "llama.attention.layer_norm_rms_epsilon": "a number above 0, at most 1",
    "llama.rope.freq_base": "a number above 1, at most 1000000000000",
  };
  for (const [key, what] of Object.entries(allowed)) {
    assertEquals(missing(key), `file m.gguf: ${key}: found no such key, allowed is ${what}`);
  }
});

Deno.test("numbers out of range, of the wrong kind, or that do not fit each other", () => {
  const cases: ReadonlyArray<readonly [string, Meta, string]> = [
    ["llama.block_count", u32(0), "found 0 (u32), allowed is a whole number from 1 to 1024"],
    ["llama.block_count", f32(2), "found 2 (f32), allowed is a whole number from 1 to 1024"],
    ["llama.block_count", string("2"), 'found "2", allowed is a whole number from 1 to 1024'],
    ["llama.context_length", { type: "i32", value: -1 }, "found -1 (i32), allowed is a whole number from 1 to 16777216"],
    ["llama.attention.head_count", u32(5), "found 5, allowed is a divisor of the embedding length 64"],
    ["llama.attention.head_count_kv", u32(3), "found 3, allowed is a divisor of the 4 query heads"],
    ["llama.attention.head_count_kv", i32s([2]), "found an array of 1 i32, allowed is a whole number from 1 to 4096, or 2 of them"],
    ["llama.attention.layer_norm_rms_epsilon", f32(NaN), "found NaN (f32), allowed is a number above 0, at most 1"],
    ["llama.rope.freq_base", f32(0), "found 0 (f32), allowed is a number above 1, at most 1000000000000"],
    ["llama.rope.dimension_count", u32(64), "found 64 (u32), allowed is a whole number from 2 to 16"],
    ["llama.rope.dimension_count", u32(7), "found 7, allowed is an even number"],
    [
      "tokenizer.ggml.tokens",
      strings(["a"]),
      "found 1 tokens, allowed is one text for each of the 288 rows of token_embd.weight",
    ],
  ];
  for (const [key, value, expected] of cases) assertEquals(sentence(withKeys({ [key]: value })), `file m.gguf: ${key}: ${expected}`);
});

Deno.test("tensors that are missing, left over, of another shape, or vectors in blocks", () => {
  assertEquals(
    sentence(withTensors(without("blk.1.ffn_up.weight"))),
    "file m.gguf: tensor blk.1.ffn_up.weight: found no such tensor, allowed is a tensor of 64 x 96",
  );
  assertEquals(
    sentence(withTensors(without("token_embd.weight"))),
    "file m.gguf: tensor token_embd.weight: found no such tensor, allowed is the token embedding",
  );
  assertEquals(
    sentence(withTensors((ts) => [...ts, vector("blk.2.attn_norm.weight", [1])])),
    "file m.gguf: tensor blk.2.attn_norm.weight: found a tensor that this architecture does not use, allowed is only the tensors of the architecture",
  );
  assertEquals(
    sentence(withTensors((ts) => ts.map((t) => t.name === "blk.0.attn_k.weight" ? { ...t, dims: [32, 64] } : t))),
    "file m.gguf: tensor blk.0.attn_k.weight: found 32 x 64, allowed is 64 x 32",
  );
  assertEquals(
    sentence(withTensors((ts) => ts.map((t) => t.name === "output_norm.weight" ? { ...t, type: "Q8_0", bytes: new Uint8Array(68) } : t))),
    "file m.gguf: tensor output_norm.weight: found type Q8_0, allowed is F32, F16, BF16",
  );
});

Deno.test("a scale that is not finite is named with its block, in every place where a block keeps one", () => {
  const places: ReadonlyArray<readonly [type: WeightType, bytes: ReadonlyArray<number>]> = [
    ["Q8_0", [0]],
    ["Q4_0", [0]],
    ["Q4_1", [0, 2]],
    ["Q5_0", [0]],
    ["Q5_1", [0, 2]],
    ["Q4_K", [0, 2]],
    ["Q5_K", [0, 2]],
    ["Q6_K", [208]],
  ];
  for (const [type, bytes] of places) {
    for (const [half, shown] of [[0x7c00, "Infinity"], [0xfc00, "-Infinity"], [0x7e01, "NaN"]] as const) {
      for (const at of bytes) {
        const spoil = (t: TensorInput): TensorInput => {
          if (t.name !== "blk.0.ffn_up.weight") return t;
          const spoiled = new Uint8Array(t.bytes);
          new DataView(spoiled.buffer).setUint16(blockForms[type].bytes + at, half, true);
          return { ...t, bytes: spoiled };
        };
        assertEquals(
          sentence(withTensors((ts) => ts.map(spoil), tinyInput(tinyOf(type)))),
          `file m.gguf: tensor blk.0.ffn_up.weight: found a scale of ${shown} in block 1, allowed is finite scales`,
        );
      }
    }
  }
});

Deno.test("rope_freqs of the wrong length, type or value", () => {
  const freqs = (tensor: TensorInput) => sentence(withTensors((ts) => [...ts, tensor]));
  assertEquals(
    freqs(vector("rope_freqs.weight", [1, 1])),
    "file m.gguf: tensor rope_freqs.weight: found 2 values, allowed is 8, half the rotated channels",
  );
  assertEquals(
    freqs(vector("rope_freqs.weight", [1, 1, 1, 1, 1, 1, 1, 0])),
    "file m.gguf: tensor rope_freqs.weight: found 0, allowed is finite numbers above 0",
  );
  assertEquals(
    freqs({ ...vector("rope_freqs.weight", [1, 1, 1, 1]), type: "F16", dims: [8] }),
    "file m.gguf: tensor rope_freqs.weight: found F16 of 8, allowed is one row of F32",
  );
});

Deno.test("the tokenizer is built once, and only when asked for", () => {
  const file = read(withKeys({ "tokenizer.ggml.model": string("bert") }));
  const [first, second] = [file.tokenizer(), file.tokenizer()];
  assertEquals(E.isLeft(first), true);
  assertEquals(first === second, true);
});
