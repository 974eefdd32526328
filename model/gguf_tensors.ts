/**
 * The tensor table of a GGUF file: names, types, dims and offsets, each checked, and the tensors as views into the bytes.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { WeightType } from "../backends/backend.ts";
import { blockForms, weightBytes, weightTypes } from "../backends/blocks.ts";
import type { Read, Source, Step } from "./gguf_read.ts";
import { invalid, readCount, readString, readU32 } from "./gguf_read.ts";

/** A tensor as it lies in the file. */
export interface GgufTensor {
  /** At most 64 bytes. */
  readonly name: string;
  /** Of its blocks. */
  readonly type: WeightType;
  /** Innermost first: a matrix from `in` to `out` has `[in, out]`. */
  readonly dims: ReadonlyArray<number>;
  /** Of its first byte, from the start of the file. */
  readonly offset: number;
  /** A view into the file, whole blocks. */
  readonly bytes: Uint8Array;
}

/** A tensor's entry in the table, before its bytes have been looked for. */
export interface Entry {
  /** As written. */
  readonly name: string;
  /** Id, not checked yet. */
  readonly type: number;
  /** Innermost first. */
  readonly dims: ReadonlyArray<number>;
  /** From the start of the data section. */
  readonly offset: number;
  /** Where the entry's offset field lies, for errors. */
  readonly field: number;
}

/** Longest tensor name, bytes. */
const longestName = 64;
/** Smallest table entry, bytes: name length, one byte of name, dimension count, one dimension, type, offset. */
export const leastTensor: number = 8 + 1 + 4 + 8 + 4 + 8;
/** Numbers that a byte of a tensor can hold at most: five in the 1.6 bit types. */
const numbersPerByte = 5;

/** Tensor types that GGUF knows, by id, each supported or not. */
const tensorTypes: ReadonlyMap<number, string> = new Map([
  [0, "F32"],
  [1, "F16"],
  [2, "Q4_0"],
  [3, "Q4_1"],
  [6, "Q5_0"],
  [7, "Q5_1"],
  [8, "Q8_0"],
  [9, "Q8_1"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [12, "Q4_K"],
  [13, "Q5_K"],
  [14, "Q6_K"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [30, "BF16"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
]);

/** Reads `count` entries of the table. */
export function readTable(source: Source, from: number, count: number): E.Either<KvError, Step<ReadonlyArray<Entry>>> {
  const entries: Entry[] = [];
  const names = new Set<string>();
  let next = from;
  for (let i = 0; i < count; i++) {
    const entry = readEntry(source, next, i);
    if (E.isLeft(entry)) return entry;
    const { name } = entry.right.value;
    if (names.has(name)) return invalid(source, `tensor name ${i}`, `"${name}" again`, "each name once", next);
    names.add(name);
    entries.push(entry.right.value);
    next = entry.right.next;
  }
  return E.right({ value: entries, next });
}

function readEntry(source: Source, at: number, index: number): E.Either<KvError, Step<Entry>> {
  const name = readString(longestName)(source, at, `tensor name ${index}`);
  if (E.isLeft(name)) return name;
  if (name.right.value === "") return invalid(source, `tensor name ${index}`, '""', "a name", at);
  const what = `tensor ${name.right.value}`;
  const nDims = readU32(source, name.right.next, `dimension count of ${what}`);
  if (E.isLeft(nDims)) return nDims;
  const n = nDims.right.value;
  if (n < 1 || n > 4) return invalid(source, `dimension count of ${what}`, String(n), "1 to 4", name.right.next);
  const dims = readDims(n)(source, nDims.right.next, what);
  if (E.isLeft(dims)) return dims;
  const typeAt = dims.right.next;
  const type = readU32(source, typeAt, `type of ${what}`);
  if (E.isLeft(type)) return type;
  const offset = readCount(1, Number.MAX_SAFE_INTEGER)(source, type.right.next, `offset of ${what}`);
  if (E.isLeft(offset)) return offset;
  const value = {
    name: name.right.value,
    type: type.right.value,
    dims: dims.right.value,
    offset: offset.right.value,
    field: type.right.next,
  };
  return E.right({ value, next: offset.right.next });
}

const readDims = (count: number): Read<ReadonlyArray<number>> => (source, at, what) => {
  const dims: number[] = [];
  let next = at;
  for (let d = 0; d < count; d++) {
    const dim = readCount(1 / numbersPerByte, Number.MAX_SAFE_INTEGER)(source, next, `dimension ${d} of ${what}`);
    if (E.isLeft(dim)) return dim;
    if (dim.right.value < 1) return invalid(source, `dimension ${d} of ${what}`, "0", "1 or more", next);
    dims.push(dim.right.value);
    next = dim.right.next;
  }
  return E.right({ value: dims, next });
};

/** Finds the bytes of every tensor: whole blocks, aligned, inside the file, apart from each other. */
export function placeTensors(
  source: Source,
  entries: ReadonlyArray<Entry>,
  alignment: number,
  tableEnd: number,
): E.Either<KvError, ReadonlyMap<string, GgufTensor>> {
  const dataStart = Math.ceil(tableEnd / alignment) * alignment;
  const placed: GgufTensor[] = [];
  for (const entry of entries) {
    const tensor = placeTensor(source, entry, alignment, dataStart);
    if (E.isLeft(tensor)) return tensor;
    placed.push(tensor.right);
  }
  const sorted = placed.toSorted((a, b) => a.offset - b.offset);
  const clash = sorted.findIndex((t, i) => t.offset < endOf(sorted[i - 1]));
  const [late, early] = [sorted[clash], sorted[clash - 1]];
  return late === undefined || early === undefined
    ? E.right(new Map(placed.map((t) => [t.name, t])))
    : invalid(source, `tensor ${late.name}`, `a start inside tensor ${early.name}`, `byte ${endOf(early)} or later`, late.offset);
}

const endOf = (tensor: GgufTensor | undefined): number => tensor === undefined ? 0 : tensor.offset + tensor.bytes.length;

function placeTensor(
  source: Source,
  { name, type: id, dims, offset, field }: Entry,
  alignment: number,
  dataStart: number,
): E.Either<KvError, GgufTensor> {
  const what = `tensor ${name}`;
  const known = tensorTypes.get(id);
  if (known === undefined) return invalid(source, `type of ${what}`, String(id), "a tensor type of GGUF", field - 4);
  const type = weightTypes.find((t) => t === known);
  if (type === undefined) {
    const because = `supported are ${weightTypes.join(", ")}`;
    return E.left({ _tag: "Unsupported", what: `${what} of type ${known} in file ${source.file}`, where: "this version", because });
  }
  const [inner = 0, ...outer] = dims;
  const count = weightBytes(type, outer.reduce((a, d) => a * d, 1), inner);
  if (count === null) {
    const allowed = `at most 2^53 bytes in rows of whole blocks of ${blockForms[type].elements}`;
    return invalid(source, `dimensions of ${what}`, `${dims.join(" x ")} of ${type}`, allowed, field - 4);
  }
  if (offset % alignment !== 0) return invalid(source, `offset of ${what}`, String(offset), `a multiple of ${alignment}`, field);
  const start = dataStart + offset;
  if (start + count <= source.bytes.length) {
    return E.right({ name, type, dims, offset: start, bytes: source.bytes.subarray(start, start + count) });
  }
  return invalid(source, what, `bytes ${start} to ${start + count}`, `bytes inside the file of ${source.bytes.length} bytes`, field);
}
