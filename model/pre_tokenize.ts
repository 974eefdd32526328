/**
 * How text is cut into pieces before merges: one list of patterns per value of `tokenizer.ggml.pre`. Each pattern cuts the
 * pieces of the one before it; what matches and what lies between matches both become pieces.
 *
 * Source: the patterns in llama.cpp, `src/llama-vocab.cpp`; tested against llama.cpp on the strings of `tests/golden`.
 * @module
 */

/** What a pre-tokenizer's name stands for. */
export interface PreTokenizer {
  /** Regular expressions in the order they cut. */
  readonly patterns: ReadonlyArray<string>;
  /** A piece that is a token of the vocabulary stays whole, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** Whether a text begins with the BOS token where the file does not say. */
  readonly addBos: boolean;
}

const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`;

/** The pattern of GPT-4's kind, for numbers of the given form. */
const modern = (number: string): string =>
  String.raw`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|${number}` +
  String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const plain = (...patterns: ReadonlyArray<string>): PreTokenizer => ({ patterns, ignoreMerges: false, addBos: false });
const digitwise = plain(String.raw`\p{N}`, gpt2);
const llama3: PreTokenizer = { patterns: [modern(String.raw`\p{N}{1,3}`)], ignoreMerges: true, addBos: true };

/** Every supported value of `tokenizer.ggml.pre`. */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ["smollm", digitwise],
  ["starcoder", digitwise],
  ["refact", digitwise],
  ["command-r", digitwise],
  ["codeshell", digitwise],
  ["gpt-2", plain(gpt2)],
  ["phi-2", plain(gpt2)],
  ["qwen2", plain(modern(String.raw`\p{N}`))],
  ["deepseek-r1-qwen", plain(modern(String.raw`\p{N}`))],
  ["llama-bpe", llama3],
  ["llama-v3", llama3],
  ["llama3", llama3],
  ["default", plain(String.raw`[\p{P}\$\+<=>\^~\|]+`, gpt2, String.raw`\p{N}+`, String.raw`[0-9][0-9][0-9]`)],
]);
