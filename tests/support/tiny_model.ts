/**
 * Small random model files, the same bytes for the same options, which kvfold and llama.cpp both load.
 * @module
 */
import type { WeightType } from "../../backends/backend.ts";
import { blockForms } from "../../backends/blocks.ts";
import { byteCharacters } from "../../model/byte_text.ts";
import type { Architecture } from "../../model/types.ts";
import { numbers } from "../support.ts";
import type { GgufInput, Meta, TensorInput } from "./gguf_writer.ts";
import { bool, f32, i32s, string, strings, u32, writeGguf } from "./gguf_writer.ts";

/** What a tiny model is like. */
export interface TinyOptions {
  readonly architecture: Architecture;
  /** Type of every matrix. Vectors are F32. */
  readonly type: WeightType;
  readonly seed: number;
  readonly layers: number;
  readonly hidden: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly tied: boolean;
  /** Gives a llama file a `rope_freqs.weight`. */
  readonly ropeFreqs: boolean;
  /** Factor of linear position scaling, 1 for none. */
  readonly linear: number;
  readonly text: TinyText;
}

/** A vocabulary: the 256 bytes, what the merges make, then the specials. */
export interface TinyText {
  readonly pre: string;
  readonly merges: ReadonlyArray<readonly [string, string]>;
  readonly specials: ReadonlyArray<{ readonly text: string; readonly type: number }>;
  readonly template: string | null;
}

const merges: ReadonlyArray<readonly [string, string]> = [
  ["Ġ", "t"],
  ["h", "e"],
  ["Ġt", "he"],
  ["i", "n"],
  ["e", "r"],
  ["Ġ", "a"],
  ["o", "n"],
  ["r", "e"],
  ["Ġ", "s"],
  ["a", "t"],
  ["Ġ", "w"],
  ["o", "r"],
  ["e", "s"],
  ["i", "s"],
  ["Ġ", "c"],
  ["e", "n"],
  ["Ġ", "o"],
  ["n", "d"],
  ["i", "t"],
  ["Ġa", "nd"],
  ["o", "u"],
  ["in", "g"],
  ["Ġ", "f"],
  ["l", "l"],
  ["Ġ", "b"],
  ["Ġ", "p"],
  ["Ġ", "Ġ"],
  ["Ċ", "Ċ"],
  ["1", "2"],
];

/** 288 tokens: bytes 0 to 255, 29 merges, and three control tokens from 285. */
export const tinyText: TinyText = {
  pre: "gpt-2",
  merges,
  specials: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map((text) => ({ text, type: 3 })),
  template:
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}",
};

/** The smallest of each architecture: two layers, two query heads per KV head. */
export const tiny = (architecture: Architecture, changes: Partial<TinyOptions> = {}): TinyOptions => ({
  architecture,
  type: "F32",
  seed: 1,
  layers: 2,
  hidden: 64,
  queryHeads: 4,
  kvHeads: 2,
  headDim: architecture === "qwen3" ? 32 : 16,
  ffn: 96,
  tied: architecture !== "llama",
  ropeFreqs: false,
  linear: 1,
  text: tinyText,
  ...changes,
});

/** A model whose widths every block type divides. */
export const tinyOf = (type: WeightType): TinyOptions =>
  tiny("llama", { type, layers: 1, hidden: 256, queryHeads: 4, kvHeads: 2, headDim: 64, ffn: 256, tied: true });

/** The tokenizer's part of the metadata. */
export function textMetadata({ pre, merges, specials, template }: TinyText): ReadonlyArray<readonly [string, Meta]> {
  const made = merges.map(([left, right]) => left + right);
  const tokens = [...byteCharacters, ...made, ...specials.map((s) => s.text)];
  const id = (text: string): number => Math.max(0, tokens.indexOf(text));
  return [
    ["tokenizer.ggml.model", string("gpt2")],
    ["tokenizer.ggml.pre", string(pre)],
    ["tokenizer.ggml.tokens", strings(tokens)],
    ["tokenizer.ggml.token_type", i32s(tokens.map((_, i) => specials[i - 256 - made.length]?.type ?? 1))],
    ["tokenizer.ggml.merges", strings(merges.map((m) => m.join(" ")))],
    ["tokenizer.ggml.bos_token_id", u32(id("<|im_start|>"))],
    ["tokenizer.ggml.eos_token_id", u32(id("<|im_end|>"))],
    ["tokenizer.ggml.add_bos_token", bool(false)],
    ...template === null ? [] : [["tokenizer.chat_template", string(template)] as const],
  ];
}

/** Tokens of the vocabulary. */
export const vocabOf = ({ merges, specials }: TinyText): number => 256 + merges.length + specials.length;

/** The file as its parts, to be changed before it is written. */
export function tinyInput(options: TinyOptions): GgufInput {
  const { architecture: a, layers, hidden, queryHeads, kvHeads, headDim, ffn, text } = options;
  const metadata: ReadonlyArray<readonly [string, Meta]> = [
    ["general.architecture", string(a)],
    ["general.name", string("tiny")],
    [`${a}.block_count`, u32(layers)],
    [`${a}.context_length`, u32(512)],
    [`${a}.embedding_length`, u32(hidden)],
    [`${a}.feed_forward_length`, u32(ffn)],
    [`${a}.attention.head_count`, u32(queryHeads)],
    [`${a}.attention.head_count_kv`, u32(kvHeads)],
    [`${a}.attention.layer_norm_rms_epsilon`, f32(1e-5)],
    [`${a}.rope.freq_base`, f32(10000)],
    [`${a}.rope.dimension_count`, u32(headDim)],
    ...headDim * queryHeads === hidden
      ? []
      : [[`${a}.attention.key_length`, u32(headDim)] as const, [`${a}.attention.value_length`, u32(headDim)] as const],
    ...options.linear === 1
      ? []
      : [[`${a}.rope.scaling.type`, string("linear")] as const, [`${a}.rope.scaling.factor`, f32(options.linear)] as const],
    ...textMetadata(text),
  ];
  return { metadata, tensors: tinyTensors(options) };
}

/** The file. */
export const tinyFile = (options: TinyOptions): Uint8Array<ArrayBuffer> => writeGguf(tinyInput(options));

function tinyTensors(options: TinyOptions): ReadonlyArray<TensorInput> {
  const { architecture, type, seed, layers, hidden, queryHeads, kvHeads, headDim, ffn } = options;
  const vocab = vocabOf(options.text);
  const q = queryHeads * headDim;
  const kv = kvHeads * headDim;
  const plain: ReadonlyArray<readonly [string, number, number]> = [
    ["token_embd", vocab, hidden],
    ...options.tied ? [] : [["output", vocab, hidden] as const],
    ...Array.from({ length: layers }, (_, l) =>
      [
        [`blk.${l}.attn_q`, q, hidden],
        [`blk.${l}.attn_k`, kv, hidden],
        [`blk.${l}.attn_v`, kv, hidden],
        [`blk.${l}.attn_output`, hidden, q],
        [`blk.${l}.ffn_gate`, ffn, hidden],
        [`blk.${l}.ffn_up`, ffn, hidden],
        [`blk.${l}.ffn_down`, hidden, ffn],
      ] as const).flat(),
  ];
  const perLayer = (name: string, cols: number) => Array.from({ length: layers }, (_, l) => [`blk.${l}.${name}`, cols] as const);
  const norms = [["output_norm.weight", hidden] as const, ...perLayer("attn_norm.weight", hidden), ...perLayer("ffn_norm.weight", hidden)];
  const headNorms = architecture === "qwen3" ? ["attn_q_norm.weight", "attn_k_norm.weight"].flatMap((n) => perLayer(n, headDim)) : [];
  const biases = architecture === "qwen2"
    ? [...perLayer("attn_q.bias", q), ...perLayer("attn_k.bias", kv), ...perLayer("attn_v.bias", kv)]
    : [];
  const vector = (base: number, spread: number) => ([name, cols]: readonly [string, number], i: number): TensorInput => ({
    name,
    type: "F32",
    dims: [cols],
    bytes: new Uint8Array(numbers(seed * 7919 + i + Math.round(1000 * spread), cols).map((x) => base + spread * x).buffer),
  });
  return [
    ...plain.map(([name, rows, cols], i): TensorInput => ({
      name: `${name}.weight`,
      type,
      dims: [cols, rows],
      bytes: randomBlocks(type, rows, cols, seed * 104729 + i, 1.2 / Math.sqrt(cols)),
    })),
    ...[...norms, ...headNorms].map(vector(1, 0.2)),
    ...biases.map(vector(0, 0.5)),
    ...options.ropeFreqs ? [vector(2, 0.5)(["rope_freqs.weight", headDim / 2], 0)] : [],
  ];
}

/** Where f16 scales lie in a block, and what one is worth as a share of the spread of the values it makes. */
const scales: Readonly<Partial<Record<WeightType, ReadonlyArray<readonly [number, number]>>>> = {
  Q4_0: [[0, 1 / 4.6]],
  Q4_1: [[0, 1 / 4.6], [2, -7.5 / 4.6]],
  Q5_0: [[0, 1 / 9.2]],
  Q5_1: [[0, 1 / 9.2], [2, -15.5 / 9.2]],
  Q8_0: [[0, 1 / 74]],
  Q4_K: [[0, 1 / 190], [2, 7.5 / 190]],
  Q5_K: [[0, 1 / 380], [2, 15.5 / 380]],
  Q6_K: [[208, 1 / 1360]],
};

/** A matrix of valid blocks: numbers of about the given spread, or random bits under random scales. */
export function randomBlocks(type: WeightType, rows: number, cols: number, seed: number, spread: number): Uint8Array {
  const form = blockForms[type];
  if (form.elements === 1) return plainNumbers(type, numbers(seed, rows * cols).map((x) => x * spread));
  const blocks = rows * cols / form.elements;
  const bytes = Uint8Array.from(numbers(seed, blocks * form.bytes), (x) => Math.floor((x + 2) * 64));
  const view = new DataView(bytes.buffer);
  const factors = numbers(seed + 1, blocks);
  for (let b = 0; b < blocks; b++) {
    (scales[type] ?? []).forEach(([at, share]) =>
      view.setFloat16(b * form.bytes + at, share * spread * (1 + 0.2 * (factors[b] ?? 0)), true)
    );
  }
  return bytes;
}

function plainNumbers(type: WeightType, values: Float32Array<ArrayBuffer>): Uint8Array {
  if (type === "F32") return new Uint8Array(values.buffer);
  if (type === "F16") return new Uint8Array(Float16Array.from(values).buffer);
  // The upper half of an f32, cut: any bf16 is as good as another here.
  return new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16).buffer);
}
