/**
 * Writes GGUF files, well formed or (for tests of the reader) not.
 * @module
 */
import type { WeightType } from "../../backends/backend.ts";

/** A metadata value to write. */
export type Meta =
  | { readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "u64" | "i64" | "f64"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: Meta["type"]; readonly values: ReadonlyArray<Meta> };

/** A tensor to write. `typeId` and `offset` override what would be right. */
export interface TensorInput {
  readonly name: string;
  readonly type: WeightType;
  /** Innermost first. */
  readonly dims: ReadonlyArray<number>;
  readonly bytes: Uint8Array;
  readonly typeId?: number;
  readonly offset?: number;
}

/** A file to write. */
export interface GgufInput {
  readonly version?: number;
  readonly magic?: string;
  readonly metadata: ReadonlyArray<readonly [string, Meta]>;
  readonly tensors: ReadonlyArray<TensorInput>;
  /** What the header claims, where that is to differ from what follows. */
  readonly tensorCount?: number;
  readonly keyCount?: number;
}

/** Shorthands for metadata. */
export const u32 = (value: number): Meta => ({ type: "u32", value });
export const f32 = (value: number): Meta => ({ type: "f32", value });
export const bool = (value: boolean): Meta => ({ type: "bool", value });
export const string = (value: string): Meta => ({ type: "string", value });
export const strings = (values: ReadonlyArray<string>): Meta => ({ type: "array", of: "string", values: values.map(string) });
export const i32s = (values: ReadonlyArray<number>): Meta => ({
  type: "array",
  of: "i32",
  values: values.map((value) => ({ type: "i32", value })),
});

const typeIds: Readonly<Record<Meta["type"], number>> = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};

const tensorIds: Readonly<Record<WeightType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  BF16: 30,
};

/** Parts of the file in order. */
type Bytes = ReadonlyArray<Uint8Array>;

const packed = (size: number, put: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(size);
  put(new DataView(bytes.buffer));
  return bytes;
};
const u32Bytes = (value: number): Uint8Array => packed(4, (v) => v.setUint32(0, value, true));
const u64Bytes = (value: number): Uint8Array => packed(8, (v) => v.setBigUint64(0, BigInt(value), true));
const stringBytes = (value: string): Bytes => {
  const bytes = new TextEncoder().encode(value);
  return [u64Bytes(bytes.length), bytes];
};

/** The value alone, without its type. */
function valueBytes(meta: Meta): Bytes {
  switch (meta.type) {
    case "u8":
      return [packed(1, (v) => v.setUint8(0, meta.value))];
    case "i8":
      return [packed(1, (v) => v.setInt8(0, meta.value))];
    case "u16":
      return [packed(2, (v) => v.setUint16(0, meta.value, true))];
    case "i16":
      return [packed(2, (v) => v.setInt16(0, meta.value, true))];
    case "u32":
      return [u32Bytes(meta.value)];
    case "i32":
      return [packed(4, (v) => v.setInt32(0, meta.value, true))];
    case "f32":
      return [packed(4, (v) => v.setFloat32(0, meta.value, true))];
    case "u64":
      return [u64Bytes(meta.value)];
    case "i64":
      return [packed(8, (v) => v.setBigInt64(0, BigInt(meta.value), true))];
    case "f64":
      return [packed(8, (v) => v.setFloat64(0, meta.value, true))];
    case "bool":
      return [Uint8Array.of(meta.value ? 1 : 0)];
    case "string":
      return stringBytes(meta.value);
    case "array":
      return [u32Bytes(typeIds[meta.of]), u64Bytes(meta.values.length), ...meta.values.flatMap(valueBytes)];
  }
}

const join = (parts: Bytes): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  parts.reduce((at, p) => (all.set(p, at), at + p.length), 0);
  return all;
};
const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

const alignmentOf = ({ metadata }: GgufInput): number => {
  const given = metadata.find(([key]) => key === "general.alignment")?.[1];
  return given?.type === "u32" && given.value > 0 ? given.value : 32;
};

/** Where each tensor starts in the data section. */
const startsOf = (input: GgufInput): ReadonlyArray<number> =>
  input.tensors.map((_, i) => input.tensors.slice(0, i).reduce((at, t) => roundUp(at + t.bytes.length, alignmentOf(input)), 0));

/** Everything before the data section, field by field. */
function headFields(input: GgufInput): Bytes {
  const { metadata, tensors } = input;
  const starts = startsOf(input);
  return [
    new TextEncoder().encode(input.magic ?? "GGUF"),
    u32Bytes(input.version ?? 3),
    u64Bytes(input.tensorCount ?? tensors.length),
    u64Bytes(input.keyCount ?? metadata.length),
    ...metadata.flatMap(([key, meta]) => [...stringBytes(key), u32Bytes(typeIds[meta.type]), ...valueBytes(meta)]),
    ...tensors.flatMap((t, i) => [
      ...stringBytes(t.name),
      u32Bytes(t.dims.length),
      ...t.dims.map(u64Bytes),
      u32Bytes(t.typeId ?? tensorIds[t.type]),
      u64Bytes(t.offset ?? starts[i] ?? 0),
    ]),
  ];
}

/** Offsets of the fields before the data section: lengths, counts, types, offsets, texts. */
export const fieldOffsets = (input: GgufInput): ReadonlyArray<number> => {
  const fields = headFields(input);
  return fields.reduce<{ readonly at: number; readonly all: number[] }>(
    ({ at, all }, field) => (all.push(at), { at: at + field.length, all }),
    { at: 0, all: [] },
  ).all;
};

/** The file. Tensors lie in order, each at a multiple of `general.alignment` (32 if there is none). */
export function writeGguf(input: GgufInput): Uint8Array<ArrayBuffer> {
  const { tensors } = input;
  const starts = startsOf(input);
  const head = join(headFields(input));
  const dataStart = roundUp(head.length, alignmentOf(input));
  const end = tensors.reduce((most, t, i) => Math.max(most, dataStart + (starts[i] ?? 0) + t.bytes.length), head.length);
  const file = new Uint8Array(end);
  file.set(head);
  tensors.forEach((t, i) => file.set(t.bytes, dataStart + (starts[i] ?? 0)));
  return file;
}
