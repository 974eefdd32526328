/**
 * The container of kvfold's own files: content as JSON and parts as bytes, under SHA-256, so that what is read is what was written. Files are
 * taken to be hostile: lengths are checked against the file before they are used, and nothing is copied.
 *
 * Bytes: 8 of magic, u32 version, u32 length of the table, SHA-256 of these 16 and of the table, the table as JSON (`content`, the lengths of
 * `parts`, the `sha256` of all parts), the parts without gaps. Little endian.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "./error.ts";

/** What a file holds. */
export interface Packed {
  /** A JSON value. */
  readonly content: unknown;
  /** Bytes, in order. */
  readonly parts: ReadonlyArray<Uint8Array>;
}

/** The version that is written, and the only one that is read. */
export const VERSION = 1;
const MAGIC: ReadonlyArray<number> = [0x89, 0x6b, 0x76, 0x66, 0x6f, 0x6c, 0x64, 0x0a];
/** Where the table starts. */
const HEAD = 48;
/** Longest table that is read, bytes. */
const longestTable = 16 * 1024 * 1024;
const mostParts = 1_000_000;

/** A file of this content and these parts; the same for the same input.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { showError } from "./error.ts";
 * const file = await packFile({ content: { tokens: 3 }, parts: [Uint8Array.of(1, 2)] });
 * assertEquals(await unpackFile("a.kv", file)(), { _tag: "Right", right: { content: { tokens: 3 }, parts: [Uint8Array.of(1, 2)] } });
 * const broken = await unpackFile("a.kv", file.map((byte, i) => i === file.length - 1 ? 7 : byte))();
 * assertEquals(broken._tag === "Left" && /the parts .*found other bytes/.test(showError(broken.left)), true);
 * ```
 */
export async function packFile({ content, parts }: Packed): Promise<Uint8Array<ArrayBuffer>> {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const body = new Uint8Array(size);
  parts.reduce((at, part) => (body.set(part, at), at + part.length), 0);
  const table = new TextEncoder().encode(JSON.stringify({ content, parts: parts.map((part) => part.length), sha256: await sha256(body) }));
  const file = new Uint8Array(HEAD + table.length + size);
  file.set(MAGIC);
  const view = new DataView(file.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, table.length, true);
  file.set(table, HEAD);
  file.set(await headDigest(file, HEAD + table.length), 16);
  file.set(body, HEAD + table.length);
  return file;
}

/** The content and the parts of a file, as views into it. Left: `InvalidFile` with the place, `Unsupported` for another version. */
export const unpackFile = (file: string, bytes: Uint8Array): TaskEither<KvError, Packed> => async () => {
  const wrong = (at: string, found: string, allowed: string, offset: number): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed, offset });
  if (bytes.length < HEAD) return wrong("the file", `${bytes.length} bytes`, `at least ${HEAD} bytes`, 0);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    return wrong("the first bytes", "another kind of file", "those of a file that kvfold saved", 0);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEAD);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    const because = `it reads version ${VERSION}; save the cache again`;
    return E.left({ _tag: "Unsupported", what: `version ${version} of file ${file}`, where: "this version of kvfold", because });
  }
  const length = view.getUint32(12, true);
  const most = Math.min(bytes.length - HEAD, longestTable);
  if (length > most) return wrong("length of the table", String(length), `at most ${most}`, 12);
  const digest = await headDigest(bytes, HEAD + length);
  if (digest.some((byte, i) => bytes[16 + i] !== byte)) {
    return wrong("the table", "other bytes than were written", "those of its SHA-256", 16);
  }
  const table = readTable(bytes.subarray(HEAD, HEAD + length));
  if (table === null) return wrong("the table", "something else", "JSON with content, parts and sha256", HEAD);
  const start = HEAD + length;
  const claimed = table.parts.reduce((sum, part) => sum + part, 0);
  if (claimed !== bytes.length - start) {
    return wrong("the parts", `${bytes.length - start} bytes`, `the ${claimed} that the table lists`, start);
  }
  if (await sha256(bytes.subarray(start)) !== table.sha256) {
    return wrong("the parts", "other bytes than were written", "those of their SHA-256", start);
  }
  let at = start;
  return E.right({ content: table.content, parts: table.parts.map((part) => bytes.subarray(at, at += part)) });
};

function readTable(
  bytes: Uint8Array,
): { readonly content: unknown; readonly parts: ReadonlyArray<number>; readonly sha256: string } | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof value !== "object" || value === null || !("content" in value) || !("parts" in value) || !("sha256" in value)) return null;
    const { content, parts, sha256 } = value;
    const sound = Array.isArray(parts) && parts.length <= mostParts && parts.every((n) => Number.isSafeInteger(n) && n >= 0);
    return sound && typeof sha256 === "string" ? { content, parts, sha256 } : null;
  } catch {
    return null;
  }
}

/** Of everything before `end` but the digest itself. */
async function headDigest(file: Uint8Array, end: number): Promise<Uint8Array> {
  const text = new Uint8Array(end - 32);
  text.set(file.subarray(0, 16));
  text.set(file.subarray(HEAD, end), 16);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text));
}

/** SHA-256 in lower-case hexadecimal. */
export const sha256 = async (bytes: Uint8Array): Promise<string> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)).toHex();
