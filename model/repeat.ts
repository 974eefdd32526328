/**
 * What is read to make a model repeat its context: KVzip's repeat inputs.
 *
 * Source: KVzip, arXiv 2505.23416, section 3.2; the single repetition of the `training` denominators, arXiv 2601.07891, section 2.1.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { ChatParts } from "./chat_parts.ts";
import type { Tokenizer } from "./types.ts";

/** One reading on top of the context's cache. */
export interface Pass {
  /** Rows [from, to) of the context are scored. */
  readonly from: number;
  readonly to: number;
  /** Rows [0, sinks) share their softmax under `inference` denominators. */
  readonly sinks: number;
  /** Read first; their attention does not count. */
  readonly silent: ReadonlyArray<number>;
  /** Read next; theirs does. */
  readonly scored: ReadonlyArray<number>;
}

/** How to repeat. */
export interface Repeating {
  readonly denominators: "training" | "inference";
  readonly parts: ChatParts;
  readonly prefix: number;
  readonly chunk?: number;
}

/** Tokens per chunk, as published. */
const CHUNK = 2000;
/** Tokens of the preceding chunk that say where to start. */
const OVERLAP = 8;
/** Rows that share the softmax where there is no prefix. */
const SINKS = 4;
const FIRST = "\n\nRepeat the previous context exactly.";
const LATER = "\n\nRepeat the part of the previous context exactly, starting with ";

/** The passes for a context of `tokens` after its prefix. Left: `OverLimit` where `context` positions have no room for them. */
export function passesOf(
  tokenizer: Pick<Tokenizer, "encode">,
  context: number,
  tokens: ReadonlyArray<number>,
  { denominators, parts, prefix, chunk = CHUNK }: Repeating,
): E.Either<KvError, ReadonlyArray<Pass>> {
  const count = tokens.length - prefix;
  if (count <= 0) return E.right([]);
  const [first, later] = [tokenizer.encode(FIRST), tokenizer.encode(LATER)];
  const opening = Math.max(first.length, later.length + OVERLAP) + parts.suffix.length;
  const room = context - tokens.length - opening;
  if (room < (denominators === "training" ? count : 1)) {
    const needed = tokens.length + opening + (denominators === "training" ? count : 1);
    return E.left({ _tag: "OverLimit", limit: "context of the model for a repetition, tokens", needed, available: context });
  }
  if (denominators === "training") {
    return E.right([{ from: prefix, to: tokens.length, sinks: 0, silent: [...first, ...parts.suffix], scored: tokens.slice(prefix) }]);
  }
  const size = Math.min(chunk, room);
  return E.right(Array.from({ length: Math.ceil(count / size) }, (_, i): Pass => {
    const [from, to] = [prefix + i * size, Math.min(tokens.length, prefix + (i + 1) * size)];
    const ask = i === 0 ? first : [...later, ...tokens.slice(Math.max(prefix, from - OVERLAP), from)];
    return {
      from,
      to,
      sinks: prefix > 0 ? prefix : Math.min(SINKS, from),
      silent: [],
      scored: [...ask, ...parts.suffix, ...tokens.slice(from, to)],
    };
  }));
}
