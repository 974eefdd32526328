/**
 * What a model file gives (`gguf` side) and what the forward pass takes. The embedded induction model makes the same value.
 * @module
 */
import type { Either } from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { ModelShape } from "../cache/shape.ts";
import type { WeightType } from "../backends/backend.ts";

/** Architectures with a forward pass. */
export type Architecture = "llama" | "qwen2" | "qwen3";

/** Everything the forward pass needs beside the weights; each number comes from the file. */
export interface ModelSpec {
  /** Which forward pass. */
  readonly architecture: Architecture;
  /** What the file calls the model. */
  readonly name: string;
  /** Layers and widths. */
  readonly shape: ModelShape;
  /** Inner width of the feed-forward block, per layer. */
  readonly ffn: ReadonlyArray<number>;
  /** Added to the mean square in every norm. */
  readonly normEps: number;
  /** Per-head RMS norm of queries and keys before rotation (qwen3). */
  readonly qkNorm: boolean;
  /** Biases on the q, k, v projections (qwen2). */
  readonly qkvBias: boolean;
  /** The output matrix is the token embedding. */
  readonly tiedOutput: boolean;
}

/** One tensor: `rows` outputs of `cols` inputs (vectors have one row), blocks in file order. Q and K rows of `llama` files
 * are already back in half-split order, so one rotation serves every architecture. */
export interface ModelTensor {
  /** GGUF name. */
  readonly name: string;
  /** Block type. */
  readonly type: WeightType;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** Blocks, row by row. */
  readonly bytes: Uint8Array;
}

/** A chat message. */
export interface Message {
  /** Who speaks. */
  readonly role: "system" | "user" | "assistant";
  /** Plain text: nothing in it becomes a control token. */
  readonly content: string;
}

/** Text to ids and back, from the file's own metadata. */
export interface Tokenizer {
  /** `special`: whether strings such as `<|im_end|>` in the text become control tokens (never for user text). */
  readonly encode: (text: string, options?: { readonly special?: boolean }) => ReadonlyArray<number>;
  /** The text of these ids. */
  readonly decode: (ids: ReadonlyArray<number>) => string;
  /** Raw bytes of one token: concatenating them and decoding UTF-8 gives the text (one token may be half a character). */
  readonly bytesOf: (id: number) => Uint8Array;
  /** Control tokens: those that no plain text gives. */
  readonly special: ReadonlySet<number>;
  /** Tokens that end a generation. */
  readonly stop: ReadonlySet<number>;
  /** Id put in front of a text, or null where the file says none. */
  readonly bos: number | null;
  /** The conversation as ids, ending where the assistant speaks; Left if the file has no chat template. */
  readonly chat: (messages: ReadonlyArray<Message>) => Either<KvError, ReadonlyArray<number>>;
}

/** A checked model file, before any backend has seen it. */
export interface ModelFile {
  /** What the forward pass needs. */
  readonly spec: ModelSpec;
  /** By GGUF name (`blk.0.attn_q.weight`): exactly the tensors the spec calls for. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** The same tensors as the file has them, where `tensors` holds their numbers: what is made for a model is made for these. */
  readonly decodedFrom?: ReadonlyMap<string, ModelTensor>;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Built on first use: vocabularies are large and `logits` does not need one. */
  readonly tokenizer: () => Either<KvError, Tokenizer>;
}
