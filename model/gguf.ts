/**
 * GGUF container, versions 2 and 3, little endian: metadata and tensors as views into the bytes, after every count,
 * length, type, name and offset has been checked. The file is taken to be hostile: a file that lies gives a Left with the
 * place, never an exception, a long wait or an allocation that only a claimed length asks for.
 *
 * Source: `ggml-org/ggml`, `docs/gguf.md`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { pipe } from "fp-ts/function.js";
import type { GgufValue, Source, Step } from "./gguf_read.ts";
import { invalid, readCount, readString, readU32, readValue, sourceOf } from "./gguf_read.ts";
import type { GgufTensor } from "./gguf_tensors.ts";
import { leastTensor, placeTensors, readTable } from "./gguf_tensors.ts";
export type { GgufTensor } from "./gguf_tensors.ts";
export type { GgufValue, NumberType } from "./gguf_read.ts";
export { numbersOf, stringsOf } from "./gguf_read.ts";

/** A file whose structure is sound. What the values mean is for `model_file.ts`. */
export interface GgufFile {
  /** Name for messages. */
  readonly file: string;
  /** 2 or 3. */
  readonly version: number;
  /** Of tensors, bytes. */
  readonly alignment: number;
  /** Size of the file. */
  readonly bytes: number;
  /** In file order. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** By name, in file order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const magic = 0x46554747;
/** Longest key, bytes. */
const longestKey = 65535;
/** Characters of a key that an error repeats. */
const longestShown = 80;
const mostKeys = 65536;
const mostTensors = 65536;

/** Reads the structure of a GGUF file. Left: `InvalidFile` with the byte offset, or `Unsupported` for a known tensor type
 * that kvfold cannot compute with and for big-endian files.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { showError } from "../cache/error.ts";
 * const parsed = parseGguf("note.txt", new TextEncoder().encode("Dear diary"));
 * assertEquals(
 *   E.isLeft(parsed) && showError(parsed.left),
 *   'file note.txt: magic (byte 0): found "Dear", allowed is "GGUF"',
 * );
 * ```
 */
export function parseGguf(file: string, bytes: Uint8Array): E.Either<KvError, GgufFile> {
  const source = sourceOf(file, bytes);
  return pipe(
    E.Do,
    E.bindW("header", () => readHeader(source)),
    E.bindW("keys", ({ header }) => readMetadata(source, header.next, header.keys)),
    E.bindW("alignment", ({ keys }) => readAlignment(source, keys.value)),
    E.bindW("table", ({ header, keys }) => readTable(source, keys.next, header.tensors)),
    E.bindW("tensors", ({ table, alignment }) => placeTensors(source, table.value, alignment, table.next)),
    E.map(({ header, keys, alignment, tensors }): GgufFile => ({
      file,
      version: header.version,
      alignment,
      bytes: bytes.length,
      metadata: keys.value,
      tensors,
    })),
  );
}

interface Header {
  readonly version: number;
  readonly tensors: number;
  readonly keys: number;
  readonly next: number;
}

/** Smallest metadata entry, bytes: key length, one byte of key, type, one byte of value. */
const leastKey = 8 + 1 + 4 + 1;

function readHeader(source: Source): E.Either<KvError, Header> {
  return E.chain((m: Step<number>) =>
    m.value !== magic
      ? invalid(source, "magic", JSON.stringify(String.fromCharCode(...source.bytes.subarray(0, 4))), '"GGUF"', 0)
      : E.chain((v: Step<number>) => v.value === 2 || v.value === 3 ? readCounts(source, v.value, v.next) : badVersion(source, v.value))(
        readU32(source, m.next, "version"),
      )
  )(readU32(source, 0, "magic"));
}

/** A big-endian file shows its version with the bytes reversed. */
function badVersion(source: Source, version: number): E.Either<KvError, never> {
  return version !== 0 && (version & 0xffff) === 0
    ? E.left({
      _tag: "Unsupported",
      what: `file ${source.file}`,
      where: "the GGUF reader",
      because: "it is big endian, and only little endian is read",
    })
    : invalid(source, "version", String(version), "2 or 3", 4);
}

const readCounts = (source: Source, version: number, at: number): E.Either<KvError, Header> =>
  E.chain(({ value: tensors, next }: Step<number>) =>
    E.map((keys: Step<number>): Header => ({ version, tensors, keys: keys.value, next: keys.next }))(
      readCount(leastKey, mostKeys)(source, next, "metadata count"),
    )
  )(readCount(leastTensor, mostTensors)(source, at, "tensor count"));

function readMetadata(source: Source, from: number, count: number): E.Either<KvError, Step<ReadonlyMap<string, GgufValue>>> {
  const metadata = new Map<string, GgufValue>();
  let next = from;
  for (let i = 0; i < count; i++) {
    const key = readString(longestKey)(source, next, `metadata key ${i}`);
    if (E.isLeft(key)) return key;
    const name = key.right.value;
    if (name === "") return invalid(source, `metadata key ${i}`, '""', "a name", next);
    if (metadata.has(name)) return invalid(source, `metadata key ${i}`, `"${name}" again`, "each key once", next);
    const shown = name.slice(0, longestShown);
    const type = readU32(source, key.right.next, `type of ${shown}`);
    if (E.isLeft(type)) return type;
    const value = readValue(type.right.value)(source, type.right.next, shown);
    if (E.isLeft(value)) return value;
    metadata.set(name, value.right.value);
    next = value.right.next;
  }
  return E.right({ value: metadata, next });
}

function readAlignment(source: Source, metadata: ReadonlyMap<string, GgufValue>): E.Either<KvError, number> {
  const value = metadata.get("general.alignment");
  if (value === undefined) return E.right(32);
  const a = value._tag === "Number" ? value.value : NaN;
  const power = Number.isInteger(a) && a >= 1 && a <= 65536 && (a & (a - 1)) === 0;
  return power ? E.right(a) : E.left({
    _tag: "InvalidFile",
    file: source.file,
    at: "general.alignment",
    found: value._tag === "Number" ? String(a) : `a value of kind ${value._tag}`,
    allowed: "a power of two from 1 to 65536",
  });
}
