/**
 * Documents of an evaluation from a folder: one file each, in folders named after their kind (`prose/`, `code/`, `dialogue/`, `reference/`).
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import type { Document, Kind } from "../eval/item.ts";
import { readText, reasonOf, unavailable } from "./files.ts";
import { invalid } from "./options.ts";

const KINDS: ReadonlyArray<Kind> = ["prose", "code", "dialogue", "reference"];

/** Every file of the folder, in order of name; files outside the four folders are prose. Left for a folder without files, and for a file that
 * is empty or no UTF-8. */
export const documentsIn = (folder: string): TaskEither<KvError, ReadonlyArray<Document>> => async () => {
  try {
    const paths: { readonly path: string; readonly kind: Kind }[] = [];
    for (const [sub, kind] of [["", "prose"], ...KINDS.map((name) => [name, name])] as ReadonlyArray<readonly [string, Kind]>) {
      for await (const entry of readDir(join(folder, sub), sub === "")) if (entry.isFile) paths.push({ path: join(sub, entry.name), kind });
    }
    if (paths.length === 0) return invalid("--documents", `${folder}, which has no files`, "a folder of text files");
    const documents: Document[] = [];
    for (const { path, kind } of paths.sort((a, b) => a.path < b.path ? -1 : 1)) {
      const text = await readText("--documents", join(folder, path))();
      if (E.isLeft(text)) return text;
      documents.push({ name: path, kind, text: text.right.normalize("NFC") });
    }
    return E.right(documents);
  } catch (thrown) {
    return E.left(unavailable(folder, reasonOf(thrown)));
  }
};

/** A folder's entries; none where a folder that need not be there is not. */
async function* readDir(path: string, needed: boolean): AsyncGenerator<Deno.DirEntry> {
  if (!needed && (await Deno.stat(path).catch(() => null)) === null) return;
  yield* Deno.readDir(path);
}
