/**
 * Documents that are made up from a list of words: for runs without any corpus at hand, and for models that read bytes.
 * @module
 */
import { drawWhole } from "./draws.ts";
import type { Document } from "./item.ts";
import { ADJECTIVES, NOUNS, VERBS } from "./words.ts";

/** `count` documents of `sentences` sentences each.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const [one, other] = syntheticDocuments(2, 3, 7);
 * assertEquals([one?.text.split(". ").length, one?.text === other?.text], [3, false]);
 * ```
 */
export const syntheticDocuments = (count: number, sentences: number, seed: number): ReadonlyArray<Document> =>
  Array.from({ length: count }, (_, d) => ({
    name: `synthetic-${d}`,
    kind: "synthetic",
    text: Array.from({ length: sentences }, (_, s) => sentence(seed, d, s)).join(" "),
  }));

function sentence(seed: number, document: number, s: number): string {
  const pick = (words: ReadonlyArray<string>, at: string): string =>
    words[drawWhole(words.length, seed, "synthetic", document, s, at)] ?? "";
  const [who, whom] = [`${pick(ADJECTIVES, "a")} ${pick(NOUNS, "b")}`, `${pick(ADJECTIVES, "c")} ${pick(NOUNS, "d")}`];
  return `The ${who} ${pick(VERBS, "v")} the ${whom}.`;
}
