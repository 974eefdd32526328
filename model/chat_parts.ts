/**
 * What a model's chat template puts around the text of a user.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Tokenizer } from "./types.ts";

/** Ids before and after the text of the first user turn, up to where the assistant speaks. */
export interface ChatParts {
  /** System prompt and the opening of the turn; for a model without a template the token that begins a text, if it has one. */
  readonly prefix: ReadonlyArray<number>;
  /** The end of the turn and the opening of the answer; without a template a line break. */
  readonly suffix: ReadonlyArray<number>;
}

/** Two texts that share no token. */
const [one, other] = ["alpha", "7"];

/** The parts: what the renderings of two different texts have in common at their beginnings and ends. */
export function chatParts(tokenizer: Tokenizer): ChatParts {
  const render = (content: string): E.Either<unknown, ReadonlyArray<number>> => tokenizer.chat([{ role: "user", content }]);
  const [a, b] = [render(one), render(other)];
  if (E.isLeft(a) || E.isLeft(b)) return { prefix: tokenizer.bos === null ? [] : [tokenizer.bos], suffix: tokenizer.encode("\n") };
  const prefix = common(a.right, b.right);
  const rest = [a.right, b.right].map((ids) => ids.slice(prefix).toReversed());
  return { prefix: a.right.slice(0, prefix), suffix: (rest[0] ?? []).slice(0, common(rest[0] ?? [], rest[1] ?? [])).toReversed() };
}

/** How many ids two lists have in common from the start. */
function common(a: ReadonlyArray<number>, b: ReadonlyArray<number>): number {
  const differs = a.findIndex((id, i) => id !== b[i]);
  return differs < 0 ? a.length : differs;
}

/** How many ids of a prompt come before its text: the template's, else those of the token that begins a text. */
export function prefixLength(parts: ChatParts, bos: number | null, tokens: ReadonlyArray<number>): number {
  if (parts.prefix.length > 0 && common(parts.prefix, tokens) === parts.prefix.length) return parts.prefix.length;
  return bos !== null && tokens[0] === bos ? 1 : 0;
}
