/**
 * Documents for items out of the reported split of the corpora: what no surrogate was trained or tuned on.
 * @module
 */
import type { Document, Kind } from "./item.ts";

/** A text of a corpus, with the split it belongs to. */
export interface SplitText {
  /** Corpus and file: `sotu/data/2010_….txt`. */
  readonly id: string;
  readonly split: string;
  readonly text: string;
}

/** Addresses from this year on: older ones are surely in any model's training data. */
const RECENT = 2005;
/** Quotation marks per thousand words from which fiction counts as dialogue. */
const SPOKEN = 60;
/** Characters of one document of code: a file of 5 to 10 thousand tokens. */
const SLICE = 24_000;
/** Documents that one long file of code gives, evenly spaced. */
const SLICES = 12;

/** The documents: recent addresses and narrated fiction as prose, fiction that is mostly speech as dialogue, slices of a program as code.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const text = (id: string, split: string) => ({ id, split, text: "one two" });
 * const made = documentsOf([text("sotu/data/2010_x.txt", "reported"), text("sotu/data/1901_x.txt", "train")]);
 * assertEquals(made, [{ name: "sotu/data/2010_x.txt", kind: "prose", text: "one two" }]);
 * ```
 */
export const documentsOf = (texts: ReadonlyArray<SplitText>): ReadonlyArray<Document> =>
  texts.filter(({ split }) => split === "reported").flatMap(({ id, text }) => {
    if (id.startsWith("code/")) return slices(id, text);
    const year = /^sotu\/data\/(\d{4})/.exec(id)?.[1];
    if (year !== undefined && Number(year) < RECENT) return [];
    return [{ name: id, kind: id.startsWith("brown/") ? kindOf(text) : "prose", text }];
  });

function kindOf(text: string): Kind {
  const quotes = text.split('"').length - 1;
  return quotes / text.split(/\s+/).length >= SPOKEN / 1000 ? "dialogue" : "prose";
}

/** Pieces that begin at a line. */
function slices(id: string, text: string): ReadonlyArray<Document> {
  const step = Math.floor(text.length / SLICES);
  return Array.from({ length: SLICES }, (_, i): Document => {
    const from = text.indexOf("\n", i * step) + 1;
    return { name: `${id}@${from}`, kind: "code", text: text.slice(from, from + SLICE) };
  }).filter((document) => document.text.length > 0);
}
