/**
 * Classes of tokens, which policies may observe.
 * @module
 */
import type { Tokenizer } from "./types.ts";

/** Of each token: 1 if it is special (a control token, or one that begins or ends a text), 2 if it is made of white space and ASCII
 * punctuation only, else 0 (FastGen, arXiv 2310.01801, section 3.3; the set is that of AnswerDotAI/cold-compress).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const text = new TextEncoder();
 * const tokenizer = { special: new Set([0]), stop: new Set<number>(), bos: null, bytesOf: (id: number) => text.encode(["<s>", " , ", "a,"][id]) };
 * assertEquals(tokenClasses(tokenizer, [0, 1, 2]), [1, 2, 0]);
 * ```
 */
export const tokenClasses = (
  { special, stop, bos, bytesOf }: Pick<Tokenizer, "special" | "stop" | "bos" | "bytesOf">,
  ids: ReadonlyArray<number>,
): ReadonlyArray<number> =>
  ids.map((id) => {
    if (special.has(id) || stop.has(id) || id === bos) return 1;
    const bytes = bytesOf(id);
    return bytes.length > 0 && bytes.every(isMark) ? 2 : 0;
  });

/** ASCII white space, or ASCII that is neither a letter, a digit nor a control character. */
const isMark = (byte: number): boolean =>
  (byte >= 9 && byte <= 13) || (byte >= 32 && byte <= 126 && !/[A-Za-z0-9]/.test(String.fromCharCode(byte)));
