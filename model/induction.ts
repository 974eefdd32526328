/**
 * A two-layer induction transformer made in code: llama architecture, every weight written down, no file. With a full cache
 * it continues a text exactly as the text went on the last time it was in the same context, so it repeats sequences and
 * recalls values by their keys (the last four bytes count); once the row it needs has been evicted, the nearest other context
 * answers, or `?` where there is none. Tests and demonstrations of cache policies are sharp on it: there is one row to keep per answer.
 *
 * **Tokens.** Byte b is two unit vectors, one for its low and one for its high four bits: 18 + 18 channels, a *code*. The
 * beginning of text (id 256) has channel 16 of both to itself, the end (257) channel 17. The residual stream holds six
 * codes: slot 0 the token x(t), slots 1 to 4 the tokens x(t-1) to x(t-4), slot 5 the prediction. The number of ones in it
 * is known at each norm, so norm weights undo the RMS scaling exactly.
 *
 * **Layer 0: four previous-token heads** for each half of the code (query heads 0-3 read KV head 0, low halves; 4-7 read KV
 * head 1, high halves). Rotated channel pairs have angles f·position, with f = 2πk/p for p in 5, 7, 9, 11, 13 and
 * k = 1 … (p-1)/2. Keys are the same vector for every token; the query for offset o is turned back by f·o. The score
 * at distance d is then A·K(d - o), K(δ) = Σ cos(2πkδ/p) = Σ over p of (p-1)/2 if p divides δ, else -1/2. K(0) = 20, and
 * 0 < |δ| < 9009 misses at least the term of 7: K ≤ 20 - 3.5. With A = 16 the row at distance o wins by 56 nats. A bonus
 * of B = 28 nats for the first token makes it the answer where no row is o back: 28 nats either way, so the softmax is
 * a choice: all other rows together weigh less than 8192·e^-28 < 1e-8.
 *
 * **Layer 1: induction.** Row s holds x(s-1) … x(s-4) in its key; the query holds x(t) … x(t-3). Offset i
 * has the weight 4^(3-i)·u, u = 16 nats, for each matching half. A half missed at offset i costs more than everything after
 * it can give (4^(3-i) > 2·(4^(2-i) + … + 1)), so the order is lexicographic: longest common context first. The
 * first token scores 117u, between a mismatch in x(t) (at most 64u + 42u) and a match (at least 128u), and its value is the code of
 * `?`: no row that followed x(t), no answer. KV head 0 carries the low half of x(s) to slot 5, KV head 1 the high half,
 * so both heads need row s. Several rows with equal contexts are averaged.
 *
 * **Output.** The logit of a byte is 12 for each half found in slot 5, so a certain answer has a margin of 12 nats.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inductionModel } from "./induction.ts";
 * const { spec, tensors } = inductionModel();
 * assertEquals([spec.architecture, spec.shape.layers.length, spec.shape.vocab, tensors.size], ["llama", 2, 258, 21]);
 * ```
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { LayerShape } from "../cache/shape.ts";
import type { ModelFile, ModelSpec, ModelTensor, Tokenizer } from "./types.ts";

/** Channels of half a code, and of a code. */
const HALF = 18;
const CODE = 2 * HALF;
/** Channels of the residual stream: six codes. */
const HIDDEN = 6 * CODE;
const PREDICTION = 5 * CODE;
/** Bytes, beginning and end of text. */
const VOCAB = 258;
const BOS = 256;
const EOS = 257;
/** Channel of a half that only the beginning (of the end) of text has. */
const FIRST = 16;
const LAST = 17;

const OFFSETS = 4;
const KV_HEADS = 2;
const QUERY_HEADS = KV_HEADS * OFFSETS;
const PERIODS: ReadonlyArray<number> = [5, 7, 9, 11, 13];
/** Angle per position of each rotated pair, radians. */
const ANGLES: ReadonlyArray<number> = PERIODS.flatMap((p) => Array.from({ length: (p - 1) / 2 }, (_, k) => 2 * Math.PI * (k + 1) / p));
const ROTATED = 2 * ANGLES.length;
/** Rotated pairs, then the contexts of layer 1, then the bonus of the first token. */
const BONUS = ROTATED + OFFSETS * CODE;
const KEY_DIM = 192;
const VALUE_DIM = 20;
const FFN = 32;
const EPS = 1e-5;

/** Nats: peak amplitude and first-token bonus of layer 0, unit and first-token score of layer 1, logit per half. */
const AMPLITUDE = 16;
const SINK = 28;
const UNIT = 16;
const UNKNOWN = 117 * UNIT;
const LOGIT = 12;

const layer: LayerShape = {
  queryHeads: QUERY_HEADS,
  kvHeads: KV_HEADS,
  keyDim: KEY_DIM,
  valueDim: VALUE_DIM,
  scale: 1 / Math.sqrt(KEY_DIM),
  rope: { theta: 1, dims: ROTATED, divisors: ANGLES.map((f) => 1 / f) },
  window: 0,
};

const spec: ModelSpec = {
  architecture: "llama",
  name: "induction",
  shape: { layers: [layer, layer], hidden: HIDDEN, vocab: VOCAB, context: 8192 },
  ffn: [FFN, FFN],
  normEps: EPS,
  qkNorm: false,
  qkvBias: false,
  tiedOutput: false,
};

/** The model as a checked file would give it. Every call builds the same bytes. */
export function inductionModel(): ModelFile {
  const all = [
    embedding(),
    ...previousTokens("blk.0"),
    ...induction("blk.1"),
    ...["blk.0", "blk.1"].flatMap(idle),
    norm("output_norm", 12),
    output(),
  ];
  const tensors = new Map(all.map((t) => [t.name, t]));
  return { spec, tensors, bytes: all.reduce((sum, t) => sum + t.bytes.byteLength, 0), tokenizer: () => E.right(tokenizer) };
}

/** One entry of a sparse matrix: row, column, value. */
type Entry = readonly [number, number, number];

function matrix(name: string, rows: number, cols: number, entries: ReadonlyArray<Entry>): ModelTensor {
  const values = new Float32Array(rows * cols);
  for (const [r, c, v] of entries) values[r * cols + c] = v;
  return { name: `${name}.weight`, type: "F32", rows, cols, bytes: new Uint8Array(values.buffer) };
}

/** Norm weight that brings back ones where the residual stream holds exactly `ones` ones. */
const norm = (name: string, ones: number): ModelTensor => {
  const weight = Math.sqrt(ones / HIDDEN + EPS);
  return matrix(name, 1, HIDDEN, Array.from({ length: HIDDEN }, (_, c): Entry => [0, c, weight]));
};

const times = <A>(count: number, f: (i: number) => ReadonlyArray<A>): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => f(i)).flat();

/** Channels of a token's code: low half, high half. */
const channelsOf = (id: number): readonly [number, number] =>
  id === BOS ? [FIRST, HALF + FIRST] : id === EOS ? [LAST, HALF + LAST] : [id & 15, HALF + (id >> 4)];

const embedding = (): ModelTensor =>
  matrix("token_embd", VOCAB, HIDDEN, times(VOCAB, (id) => channelsOf(id).map((c): Entry => [id, c, 1])));

const output = (): ModelTensor =>
  matrix("output", VOCAB, HIDDEN, times(VOCAB, (id) => channelsOf(id).map((c): Entry => [id, PREDICTION + c, LOGIT])));

/** Entries of a row that gives `value` for every token: each has exactly one low channel. */
const constant = (row: number, value: number): ReadonlyArray<Entry> => times(HALF, (c): ReadonlyArray<Entry> => [[row, c, value]]);

/** Key entry that is 1 for the first token only, and the query entry that gives it this score. */
const sinkKeys = (): ReadonlyArray<Entry> => times(KV_HEADS, (g): ReadonlyArray<Entry> => [[g * KEY_DIM + BONUS, FIRST, 1]]);
const sinkQueries = (score: number): ReadonlyArray<Entry> => times(QUERY_HEADS, (h) => constant(h * KEY_DIM + BONUS, score / layer.scale));

function previousTokens(name: string): ReadonlyArray<ModelTensor> {
  const query = (h: number): ReadonlyArray<Entry> =>
    ANGLES.flatMap((f, pair) => {
      const back = f * (h % OFFSETS + 1);
      const [cos, sin] = [Math.cos(back), -Math.sin(back)].map((x) => x * AMPLITUDE / layer.scale);
      return [...constant(h * KEY_DIM + pair, cos ?? 0), ...constant(h * KEY_DIM + pair + ANGLES.length, sin ?? 0)];
    });
  const key = (g: number): ReadonlyArray<Entry> => ANGLES.flatMap((_, pair) => constant(g * KEY_DIM + pair, 1));
  const value = (g: number): ReadonlyArray<Entry> => times(HALF, (c): ReadonlyArray<Entry> => [[g * VALUE_DIM + c, g * HALF + c, 1]]);
  const into = (h: number): ReadonlyArray<Entry> => {
    const half = Math.floor(h / OFFSETS) * HALF;
    return times(HALF, (c): ReadonlyArray<Entry> => [[(h % OFFSETS + 1) * CODE + half + c, h * VALUE_DIM + c, 1]]);
  };
  return [
    norm(`${name}.attn_norm`, 2),
    matrix(`${name}.attn_q`, QUERY_HEADS * KEY_DIM, HIDDEN, [...times(QUERY_HEADS, query), ...sinkQueries(SINK)]),
    matrix(`${name}.attn_k`, KV_HEADS * KEY_DIM, HIDDEN, [...times(KV_HEADS, key), ...sinkKeys()]),
    matrix(`${name}.attn_v`, KV_HEADS * VALUE_DIM, HIDDEN, times(KV_HEADS, value)),
    matrix(`${name}.attn_output`, HIDDEN, QUERY_HEADS * VALUE_DIM, times(QUERY_HEADS, into)),
  ];
}

function induction(name: string): ReadonlyArray<ModelTensor> {
  const query = (h: number): ReadonlyArray<Entry> =>
    times(OFFSETS, (i) => {
      const weight = 4 ** (OFFSETS - 1 - i) * UNIT / layer.scale;
      return times(CODE, (c): ReadonlyArray<Entry> => [[h * KEY_DIM + ROTATED + i * CODE + c, i * CODE + c, weight]]);
    });
  // The first token's own channel is left out of contexts: before the text there is nothing to agree on.
  const key = (g: number): ReadonlyArray<Entry> =>
    times(
      OFFSETS * CODE,
      (c): ReadonlyArray<Entry> => c % HALF === FIRST ? [] : [[g * KEY_DIM + ROTATED + c, CODE + c, 1]],
    );
  const unknown = channelsOf("?".charCodeAt(0));
  const value = (g: number): ReadonlyArray<Entry> =>
    times(HALF, (c): ReadonlyArray<Entry> => [[g * VALUE_DIM + (c === FIRST ? (unknown[g] ?? 0) - g * HALF : c), g * HALF + c, 1]]);
  const into = (h: number): ReadonlyArray<Entry> => {
    const half = Math.floor(h / OFFSETS) * HALF;
    return times(HALF, (c): ReadonlyArray<Entry> => [[PREDICTION + half + c, h * VALUE_DIM + c, 1 / OFFSETS]]);
  };
  return [
    norm(`${name}.attn_norm`, 10),
    matrix(`${name}.attn_q`, QUERY_HEADS * KEY_DIM, HIDDEN, [...times(QUERY_HEADS, query), ...sinkQueries(UNKNOWN)]),
    matrix(`${name}.attn_k`, KV_HEADS * KEY_DIM, HIDDEN, [...times(KV_HEADS, key), ...sinkKeys()]),
    matrix(`${name}.attn_v`, KV_HEADS * VALUE_DIM, HIDDEN, times(KV_HEADS, value)),
    matrix(`${name}.attn_output`, HIDDEN, QUERY_HEADS * VALUE_DIM, times(QUERY_HEADS, into)),
  ];
}

/** A feed-forward block that adds nothing: the architecture has one. */
const idle = (name: string): ReadonlyArray<ModelTensor> => [
  norm(`${name}.ffn_norm`, 10),
  matrix(`${name}.ffn_gate`, FFN, HIDDEN, []),
  matrix(`${name}.ffn_up`, FFN, HIDDEN, []),
  matrix(`${name}.ffn_down`, HIDDEN, FFN, []),
];

const SPECIALS: ReadonlyMap<string, number> = new Map([["<|begin|>", BOS], ["<|end|>", EOS]]);

/** Bytes of UTF-8, nothing else; a conversation is its contents, one per line. */
const tokenizer: Tokenizer = {
  encode: (text, options = {}) =>
    options.special === true ? text.split(/(<\|begin\|>|<\|end\|>)/).flatMap((part) => SPECIALS.get(part) ?? bytesIn(part)) : bytesIn(text),
  decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids.filter((id) => id < BOS))),
  bytesOf: (id) => id >= 0 && id < BOS ? Uint8Array.of(id) : new Uint8Array(),
  special: new Set([BOS, EOS]),
  stop: new Set([EOS]),
  bos: BOS,
  chat: (messages) => E.right([BOS, ...bytesIn(messages.map((m) => m.content).join("\n"))]),
};

const bytesIn = (text: string): ReadonlyArray<number> => [...new TextEncoder().encode(text)];
