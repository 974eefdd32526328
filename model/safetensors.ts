/**
 * The safetensors container: named arrays of F32, F16 or BF16 numbers with a table in front. Files are taken to be hostile: one that
 * lies gives a Left with the place, never an exception or an allocation that only a claimed length asks for. Writing gives the same
 * bytes for the same tensors.
 *
 * Source: `huggingface/safetensors`, README, "Format": a u64 with the length of the table, the table as JSON, the numbers without gaps.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { WeightType } from "../backends/backend.ts";
import { weightBytes } from "../backends/blocks.ts";
import { decodeRows, encodeRows } from "../cache/encode.ts";
import type { KvError } from "../cache/error.ts";
import { readTableOf, type TableEntry } from "./safetensors_table.ts";

/** Number types that are read. */
export type SafetensorsType = Extract<WeightType, "F32" | "F16" | "BF16">;

/** One array as it lies in the file. */
export interface SafetensorsTensor {
  /** As the file writes it. */
  readonly name: string;
  /** Of each number. */
  readonly type: SafetensorsType;
  /** Outermost first: a matrix from `in` to `out` has `[out, in]`. Empty for a single number. */
  readonly shape: ReadonlyArray<number>;
  /** A view into the file, little endian, in row order. */
  readonly bytes: Uint8Array;
}

/** A file whose structure is sound. */
export interface Safetensors {
  /** Name for messages. */
  readonly file: string;
  /** What `__metadata__` says: text by key. */
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of the table. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/** An array to write. */
export interface TensorToWrite {
  /** Unique in its file. */
  readonly name: string;
  /** How numbers are stored; F16 rounds to nearest, ties to even. */
  readonly type: "F32" | "F16";
  /** Outermost first; its product is the number of numbers. */
  readonly shape: ReadonlyArray<number>;
  /** In row order. */
  readonly numbers: Float32Array;
}

const metadataKey = "__metadata__";
/** Bytes of the length in front of the table. */
const prefix = 8;
/** Longest table that is read, bytes: some 100,000 tensors. */
const longestTable = 16 * 1024 * 1024;
const types: ReadonlyArray<SafetensorsType> = ["F32", "F16", "BF16"];

/** Where an array lies in its file. */
export interface TensorRange extends Omit<SafetensorsTensor, "bytes"> {
  /** First byte, from the start of the file. */
  readonly from: number;
  /** The byte after the last. */
  readonly to: number;
}

/** What the front of a file says of the rest. */
export interface SafetensorsTable extends Omit<Safetensors, "tensors"> {
  /** By name, in the order of the table. */
  readonly ranges: ReadonlyMap<string, TensorRange>;
}

/** Reads the structure of a safetensors file: types, shapes, byte ranges (without gap, overlap or rest) and names are checked. Left:
 * `InvalidFile` with the place, or `Unsupported` for a tensor of another number type.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { showError } from "../cache/error.ts";
 * const read = readSafetensors("note.txt", new TextEncoder().encode("Dear diary"));
 * assertEquals(
 *   E.isLeft(read) && showError(read.left),
 *   "file note.txt: length of the table (byte 0): found 7019251584754345284, allowed is 2 to 2, what the rest of the file can hold",
 * );
 * ```
 */
export const readSafetensors = (file: string, bytes: Uint8Array): E.Either<KvError, Safetensors> =>
  pipe(
    tableEnd(file, bytes, bytes.length),
    E.chain((end) => readSafetensorsTable(file, bytes.subarray(0, end), bytes.length)),
    E.map(({ metadata, ranges }): Safetensors => ({
      file,
      metadata,
      tensors: new Map(
        [...ranges].map(([name, { type, shape, from, to }]) => [name, { name, type, shape, bytes: bytes.subarray(from, to) }]),
      ),
    })),
  );

/** The same checks for a file of `size` bytes of which only the front has been read, up to {@link tableEnd}: for files of which a few
 * tensors are wanted. */
export const readSafetensorsTable = (file: string, front: Uint8Array, size: number): E.Either<KvError, SafetensorsTable> =>
  pipe(
    readTableOf(file, metadataKey, front.subarray(prefix)),
    E.chain(({ metadata, entries }) =>
      pipe(place(file, size, front.length, entries), E.map((ranges): SafetensorsTable => ({ file, metadata, ranges })))
    ),
  );

/** The numbers of a tensor; F16 and BF16 widen exactly. */
export const tensorNumbers = ({ type, bytes }: SafetensorsTensor): Float32Array =>
  type === "BF16" ? upperHalves(bytes) : decodeRows({ _tag: "Plain", dtype: type === "F32" ? "f32" : "f16" }, bytes);

/** bf16 is the upper half of an f32. */
const upperHalves = (bytes: Uint8Array): Float32Array =>
  new Float32Array(Uint32Array.from(new Uint16Array(bytes.slice().buffer), (half) => half << 16).buffer);

/** A safetensors file of these tensors in this order, numbers aligned to 8 bytes. Left where a name comes twice or is that of the
 * metadata, or where a shape is not that of its numbers.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { orThrow } from "../run/mod.ts";
 * const w = { name: "w", type: "F16", shape: [1, 2], numbers: Float32Array.of(1, -2) } as const;
 * const file = await orThrow(readSafetensors("w.safetensors", await orThrow(writeSafetensors([w], new Map([["made", "today"]])))));
 * const read = file.tensors.get("w");
 * assertEquals([file.metadata.get("made"), read?.shape, read && [...tensorNumbers(read)]], ["today", [1, 2], [1, -2]]);
 * ```
 */
export function writeSafetensors(
  tensors: ReadonlyArray<TensorToWrite>,
  metadata: ReadonlyMap<string, string> = new Map(),
): E.Either<KvError, Uint8Array<ArrayBuffer>> {
  const wrong = tensors.flatMap(({ name, shape, numbers }, i): ReadonlyArray<KvError> => {
    const bad = (value: string, allowed: string): KvError => ({ _tag: "InvalidArgument", argument: `tensor ${name}`, value, allowed });
    if (name === metadataKey || tensors.findIndex((t) => t.name === name) < i) return [bad("its name", "a name of its own")];
    const fits = shape.every((d) => Number.isSafeInteger(d) && d >= 0) && product(shape) === numbers.length;
    return fits ? [] : [bad(`a shape of ${shape.join(" x ")}`, `one of ${numbers.length} numbers`)];
  })[0];
  if (wrong !== undefined) return E.left(wrong);
  const stored = tensors.map(({ type, numbers }) => encodeRows({ _tag: "Plain", dtype: type === "F32" ? "f32" : "f16" }, numbers));
  let end = 0;
  const entries = tensors.map(({ name, type, shape }, i) => {
    const begin = end;
    end += stored[i]?.length ?? 0;
    return [name, { dtype: type, shape, data_offsets: [begin, end] }] as const;
  });
  const head = metadata.size === 0 ? [] : [[metadataKey, Object.fromEntries(metadata)] as const];
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries<unknown>([...head, ...entries])));
  const table = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(prefix + table + end).fill(0x20, prefix, prefix + table);
  new DataView(file.buffer).setBigUint64(0, BigInt(table), true);
  file.set(text, prefix);
  stored.reduce((at, bytes) => (file.set(bytes, at), at + bytes.length), prefix + table);
  return E.right(file);
}

const product = (shape: ReadonlyArray<number>): number => shape.reduce((a, d) => a * d, 1);

/** Where the table of a file of `size` bytes ends, told by its first 8 bytes. */
export function tableEnd(file: string, front: Uint8Array, size: number): E.Either<KvError, number> {
  const wrong = (at: string, found: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed, offset: 0 });
  if (size < prefix + 2 || front.length < prefix) return wrong("the file", `${size} bytes`, `at least ${prefix + 2} bytes`);
  const claimed = new DataView(front.buffer, front.byteOffset, prefix).getBigUint64(0, true);
  const most = Math.min(size - prefix, longestTable);
  return claimed >= 2n && claimed <= BigInt(most)
    ? E.right(prefix + Number(claimed))
    : wrong("length of the table", String(claimed), `2 to ${most}${most < longestTable ? ", what the rest of the file can hold" : ""}`);
}

/** The bytes of every tensor: each of its shape, all in one row from the end of the table to the end of the file. */
function place(
  file: string,
  size: number,
  start: number,
  entries: ReadonlyArray<TableEntry>,
): E.Either<KvError, ReadonlyMap<string, TensorRange>> {
  const wrong = (at: string, found: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed });
  const tensors = new Map<string, TensorRange>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const type = types.find((t) => t === dtype);
    if (type === undefined) {
      const because = `read are ${types.join(", ")}`;
      return E.left({ _tag: "Unsupported", what: `tensor ${name} of type ${dtype} in file ${file}`, where: "this version", because });
    }
    const count = weightBytes(type, 1, product(shape));
    if (count !== end - begin) {
      return wrong(`tensor ${name}`, `bytes ${begin} to ${end}`, `the ${count ?? "too many"} bytes of ${shape.join(" x ")} in ${type}`);
    }
    if (start + end > size) return wrong(`tensor ${name}`, `bytes up to ${start + end}`, `up to the file's ${size}`);
    tensors.set(name, { name, type, shape, from: start + begin, to: start + end });
  }
  let next = 0;
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== next) return wrong(`tensor ${name}`, `a start at ${begin}`, `${next}, where the one before it ends`);
    next = end;
  }
  return start + next === size ? E.right(tensors) : wrong("the file", `${size} bytes`, `${start + next}, where its last tensor ends`);
}
