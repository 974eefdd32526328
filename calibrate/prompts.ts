/**
 * Prompts of 750 to 1250 tokens out of documents, the same for the same seed.
 *
 * Source of the lengths: KVzap, arXiv 2601.07891, section 3.1.
 * @module
 */
import { type Random, randomOf } from "../conformance/random.ts";
import type { Tokenizer } from "../model/types.ts";
import { CORPORA, type Corpus, type Split, type TextDocument } from "./corpus.ts";

/** A piece of a document. */
export interface TrainingPrompt {
  /** Document, and the character at which the piece begins. */
  readonly id: string;
  readonly tokens: ReadonlyArray<number>;
}

/** Fewest and most tokens, both excluded. */
export const LENGTHS = { above: 750, below: 1250 } as const;

/** Characters that surely hold so many tokens: English has four to five per token, code three. */
const CHARACTERS = 6;
/** Tries per prompt before a document counts as too short. */
const TRIES = 8;

/** Where prompts come from: documents whose ids begin with the name, and how often it is their turn. */
export type PromptSource = Pick<Corpus, "name" | "share">;

/** What to draw. */
export interface Drawing {
  readonly split: Split;
  readonly count: number;
  readonly seed: number;
  /** {@link CORPORA} where nothing is said. */
  readonly sources?: ReadonlyArray<PromptSource>;
  /** Prompts whose documents are not drawn from again; of a document as large as a corpus only what is near a prompt. */
  readonly apartFrom?: ReadonlyArray<TrainingPrompt>;
}

/** Characters from which a document counts as a corpus of its own, and the distance that its pieces then keep. */
const [LARGE, APART] = [1_000_000, 8_000];

/** `count` prompts of a split, fewer where the documents have no more. Sources take turns by their shares; documents of a source come in a
 * shuffled order, again and again. More prompts begin with the same ones. */
export function promptsOf(
  tokenizer: Pick<Tokenizer, "encode" | "decode">,
  documents: ReadonlyArray<TextDocument>,
  { split, count, seed, sources = CORPORA, apartFrom = [] }: Drawing,
): ReadonlyArray<TrainingPrompt> {
  const pools = sources.map(({ name, share }) => ({
    share,
    documents: shuffled(randomOf(`${name} ${split}`, seed), documents.filter((d) => d.split === split && d.id.startsWith(`${name}/`))),
  })).filter((pool) => pool.documents.length > 0);
  const turns = pools.flatMap((pool, i) => Array.from({ length: pool.share }, (_, k) => ({ i, at: (k + 0.5) / pool.share })))
    .toSorted((a, b) => a.at - b.at);
  const prompts: TrainingPrompt[] = [];
  const next = pools.map(() => 0);
  const most = 4 * (count + apartFrom.length);
  for (let turn = 0; prompts.length < count && turn < most && turns.length > 0; turn++) {
    const { i } = turns[turn % turns.length] ?? { i: 0 };
    const pool = pools[i]?.documents ?? [];
    const document = pool[(next[i] ?? 0) % pool.length];
    if (document === undefined) continue;
    const round = Math.floor((next[i] ?? 0) / pool.length);
    next[i] = (next[i] ?? 0) + 1;
    const prompt = pieceOf(tokenizer, document, randomOf(`${document.id} ${round}`, seed));
    const taken = (one: TrainingPrompt): boolean => prompt !== null && isNear(prompt, one, document.text.length);
    if (prompt !== null && !prompts.some(({ id }) => id === prompt.id) && !apartFrom.some(taken)) prompts.push(prompt);
  }
  return prompts;
}

/** Whether two prompts share their document, or in one of `length` characters that is large, a stretch of it. */
function isNear({ id }: TrainingPrompt, { id: other }: TrainingPrompt, length: number): boolean {
  const parts = (text: string): readonly [string, number] => [text.slice(0, text.lastIndexOf("@")), Number(text.split("@").at(-1))];
  const [[document, from], [same, at]] = [parts(id), parts(other)];
  return document === same && (length < LARGE || Math.abs(from - at) < APART);
}

/** A piece that begins at a sentence or a line and ends at a space. */
function pieceOf(tokenizer: Pick<Tokenizer, "encode" | "decode">, { id, text }: TextDocument, random: Random): TrainingPrompt | null {
  for (let i = 0; i < TRIES; i++) {
    const length = LENGTHS.above + 1 + random.integer(LENGTHS.below - LENGTHS.above - 1);
    const from = startAt(text, random.integer(Math.max(1, text.length - length * CHARACTERS)));
    const ids = tokenizer.encode(text.slice(from, from + length * CHARACTERS)).slice(0, length);
    const piece = tokenizer.decode(ids).replace(/\S*$/, "").trim();
    const tokens = tokenizer.encode(piece);
    if (tokens.length > LENGTHS.above && tokens.length < LENGTHS.below) return { id: `${id}@${from}`, tokens };
  }
  return null;
}

/** The first beginning of a sentence or line from `near` on; `near` itself in a text without any. */
function startAt(text: string, near: number): number {
  if (near === 0) return 0;
  const found = /(?:[.?!]["']?\s+|\n)(?=\S)/g;
  found.lastIndex = near;
  const match = found.exec(text.slice(0, near + 2000));
  return match === null ? near : match.index + match[0].length;
}

/** A permutation (Fisher and Yates). */
export function shuffled<A>(random: Random, items: ReadonlyArray<A>): ReadonlyArray<A> {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const [a, b] = [out[i], out[j]];
    if (a !== undefined && b !== undefined) [out[i], out[j]] = [b, a];
  }
  return out;
}
