/**
 * How texts become ids for a model: piece by piece, so that the place of every piece is known and no cut depends on what follows it.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Tokenizer } from "../model/types.ts";

/** Ids around what a user says, and the ids of pieces of text. */
export interface Frame {
  /** Ids in front of what the user says in a chat. */
  readonly head: ReadonlyArray<number>;
  /** Ids behind it, up to where the assistant's answer begins. */
  readonly tail: ReadonlyArray<number>;
  /** Ids in front of a plain text. */
  readonly start: ReadonlyArray<number>;
  /** Ids of a piece of text. */
  readonly encode: (text: string) => ReadonlyArray<number>;
}

/** The frame of a model: what its chat template puts around a message is what two chats with nothing in common have in common. A model
 * without a template gets a line break behind the message.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * import { inductionModel } from "../model/induction.ts";
 * const tokenizer = await orThrow(() => Promise.resolve(inductionModel().tokenizer()));
 * const { head, tail } = frameOf(tokenizer);
 * assertEquals([head, tail], [[256], []]); // this model puts its first token before a message and nothing behind it
 * ```
 */
export function frameOf(tokenizer: Tokenizer): Frame {
  const start = tokenizer.bos === null ? [] : [tokenizer.bos];
  const encode = (text: string): ReadonlyArray<number> => tokenizer.encode(text);
  const [one, two] = ["1", "two"].map((content) => tokenizer.chat([{ role: "user", content }]));
  if (one === undefined || two === undefined || E.isLeft(one) || E.isLeft(two)) return { head: start, tail: encode("\n"), start, encode };
  const ids = one.right;
  const head = shared(ids, two.right);
  const tail = shared([...ids].reverse(), [...two.right].reverse());
  return { head: ids.slice(0, head), tail: ids.slice(ids.length - tail), start, encode };
}

/** How many ids both lists start with. */
function shared(a: ReadonlyArray<number>, b: ReadonlyArray<number>): number {
  const end = a.findIndex((id, i) => id !== b[i]);
  return end < 0 ? a.length : end;
}
