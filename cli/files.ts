/**
 * Files of the cache folder: where it is, and how a file gets into it. A file appears there under its own name only after its size
 * and SHA-256 were checked, so a broken download leaves nothing behind.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { KvError } from "../cache/error.ts";

/** What a file must be, to the byte. */
export interface Pin {
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in lower-case hexadecimal. */
  readonly sha256: string;
}

/** Told how far a long transfer is: bytes done, and bytes in all where that is known. */
export type Progress = (label: string, done: number, total: number | null) => void;

/** The message of whatever a foreign API threw. */
export const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown)).split("\n", 1)[0] ?? "";

/** An `Unavailable` error. */
export const unavailable = (what: string, because: string): KvError => ({ _tag: "Unavailable", what, because });

/** The cache folder: `KVFOLD_CACHE`, else `kvfold` in the user's cache folder. `env` reads one environment variable.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(cacheFolder((name) => name === "KVFOLD_CACHE" ? "/var/kv" : undefined), { _tag: "Right", right: "/var/kv" });
 * ```
 */
export function cacheFolder(env: (name: string) => string | undefined): Either<KvError, string> {
  const own = env("KVFOLD_CACHE");
  if (own) return E.right(own);
  const base = env("XDG_CACHE_HOME") ?? env("LOCALAPPDATA");
  if (base) return E.right(join(base, "kvfold"));
  const home = env("HOME");
  return home
    ? E.right(join(home, ".cache", "kvfold"))
    : E.left(unavailable("the cache folder", "none of KVFOLD_CACHE, XDG_CACHE_HOME and HOME is set"));
}

/** SHA-256 and size of a file, read in pieces; null if there is no such file. */
async function measure(path: string): Promise<Pin | null> {
  const file = await Deno.open(path).catch(() => null);
  if (file === null) return null;
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of file.readable) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest("hex") };
}

/** True if the file is there and is what `pin` says. */
export const isPinned = (path: string, pin: Pin): TaskEither<KvError, boolean> =>
  TE.tryCatch(
    async () => {
      const info = await Deno.stat(path).catch(() => null);
      if (info === null || !info.isFile || info.size !== pin.size) return false;
      return (await measure(path))?.sha256 === pin.sha256;
    },
    (thrown) => unavailable(path, reasonOf(thrown)),
  );

/** Where the bytes of a file come from: gives them piece by piece to `write`. */
export type Source = (write: (piece: Uint8Array) => void) => Promise<void>;

/** Writes `source` to `path`, under that name only if it is what `pin` says. On any failure nothing is left. */
export const store = (path: string, pin: Pin, source: Source): TaskEither<KvError, string> => async () => {
  const folder = dirname(path);
  let part: string | null = null;
  try {
    await Deno.mkdir(folder, { recursive: true });
    part = await Deno.makeTempFile({ dir: folder, prefix: ".part-" });
    const found = await drain(part, pin.size, source);
    if (found.size !== pin.size || found.sha256 !== pin.sha256) {
      const show = ({ size, sha256 }: Pin): string => `${size} bytes with SHA-256 ${sha256.slice(0, 16)}…`;
      return E.left(unavailable(path, `the download has ${show(found)} where ${show(pin)} is expected`));
    }
    await Deno.rename(part, path);
    part = null;
    return E.right(path);
  } catch (thrown) {
    return E.left(unavailable(path, reasonOf(thrown)));
  } finally {
    if (part !== null) await Deno.remove(part).catch(() => undefined);
  }
};

/** Copies `source` into the file; stops at `limit` bytes, so that a lying server cannot fill the disk. */
async function drain(path: string, limit: number, source: Source): Promise<Pin> {
  const hash = createHash("sha256");
  let size = 0;
  using file = await Deno.open(path, { write: true, truncate: true });
  await source((piece) => {
    size += piece.length;
    if (size > limit) throw new Error(`more than the expected ${limit} bytes arrived`);
    hash.update(piece);
    for (let done = 0; done < piece.length;) done += file.writeSync(piece.subarray(done));
  });
  return { size, sha256: hash.digest("hex") };
}

/** Writes a file beside its place and then moves it there. Throws what the system says, after taking away what it began. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const part = `${path}.part`;
  try {
    await (typeof content === "string" ? Deno.writeTextFile(part, content) : Deno.writeFile(part, content));
    await Deno.rename(part, path);
  } catch (thrown) {
    await Deno.remove(part).catch(() => undefined);
    throw thrown;
  }
}

/** The same as a value. */
export const writeWhole = (path: string, content: string | Uint8Array): TaskEither<KvError, void> =>
  TE.tryCatch(() => replaceFile(path, content), (thrown) => unavailable(path, reasonOf(thrown)));

/** Runs `use` with a fresh folder that is gone afterwards. */
export const inTempFolder = <A>(use: (folder: string) => TaskEither<KvError, A>): TaskEither<KvError, A> => async () => {
  const made = await TE.tryCatch(
    () => Deno.makeTempDir({ prefix: "kvfold-" }),
    (thrown) => unavailable("a temporary folder", reasonOf(thrown)),
  )();
  if (E.isLeft(made)) return made;
  try {
    return await use(made.right)();
  } finally {
    await Deno.remove(made.right, { recursive: true }).catch(() => undefined);
  }
};

/** A text file that an option names; Left unless it is UTF-8 and has something in it. */
export const readText = (option: string, path: string | URL): TaskEither<KvError, string> => async () => {
  const refuse = (found: string, allowed: string): Either<KvError, never> =>
    E.left({ _tag: "InvalidArgument", argument: option, value: found, allowed });
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
    return text.trim() === "" ? refuse(`${path}, which is empty`, "a file with text in it") : E.right(text);
  } catch (thrown) {
    return thrown instanceof TypeError
      ? refuse(`${path}, which is not UTF-8`, "a text file in UTF-8")
      : E.left(unavailable(String(path), reasonOf(thrown)));
  }
};
