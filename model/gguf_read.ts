/**
 * Readers of the primitive parts of a GGUF file. A reader is a pure function from a place in the bytes to a value and the
 * place after it, or to an error that names file, place, what was found and what is allowed. Nothing is allocated from a
 * length that the file only claims: every length is compared with the bytes that are left first.
 *
 * Source: `ggml-org/ggml`, `docs/gguf.md`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";

/** The bytes being read. */
export interface Source {
  /** Name for messages. */
  readonly file: string;
  /** The whole file. */
  readonly bytes: Uint8Array;
  /** The same bytes. */
  readonly view: DataView;
}

/** A value and the offset of the byte after it. */
export interface Step<A> {
  /** What was read. */
  readonly value: A;
  /** Where the next thing begins. */
  readonly next: number;
}

/** Reads one thing at byte `at`; `what` names it in errors. */
export type Read<A> = (source: Source, at: number, what: string) => E.Either<KvError, Step<A>>;

/** Types of metadata numbers. */
export type NumberType = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "u64" | "i64" | "f64";

/** A metadata value. Arrays stay bytes until somebody asks: vocabularies have 150,000 strings. */
export type GgufValue =
  | { readonly _tag: "Number"; readonly type: NumberType; readonly value: number }
  /** A 64-bit integer that a number cannot hold exactly. */
  | { readonly _tag: "Wide"; readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly _tag: "Bool"; readonly value: boolean }
  | { readonly _tag: "String"; readonly value: string }
  /** `count` numbers back to back, little endian; {@link numbersOf} decodes them. */
  | { readonly _tag: "Numbers"; readonly type: NumberType; readonly count: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Bools"; readonly values: ReadonlyArray<boolean> }
  /** `count` strings, each a u64 length and its bytes, all lengths checked; {@link stringsOf} decodes them. */
  | { readonly _tag: "Strings"; readonly count: number; readonly bytes: Uint8Array }
  /** An array of arrays. No supported architecture reads one, so only its extent is checked. */
  | { readonly _tag: "Nested"; readonly count: number };

/** Longest single string (a chat template, a description), bytes. */
const longestString = 16 * 1024 * 1024;
/** Longest array of truth values. */
const longestBools = 1024 * 1024;
/** Deepest array in an array. */
const deepest = 4;

/** Bytes of each number type. */
const sizes: Readonly<Record<NumberType, number>> = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 };

/** Number types by their id in the file; 7 is bool, 8 string, 9 array. */
const numberTypes: ReadonlyMap<number, NumberType> = new Map([
  [0, "u8"],
  [1, "i8"],
  [2, "u16"],
  [3, "i16"],
  [4, "u32"],
  [5, "i32"],
  [6, "f32"],
  [10, "u64"],
  [11, "i64"],
  [12, "f64"],
]);

const getters: Readonly<Record<NumberType, (view: DataView, at: number) => number>> = {
  u8: (v, at) => v.getUint8(at),
  i8: (v, at) => v.getInt8(at),
  u16: (v, at) => v.getUint16(at, true),
  i16: (v, at) => v.getInt16(at, true),
  u32: (v, at) => v.getUint32(at, true),
  i32: (v, at) => v.getInt32(at, true),
  f32: (v, at) => v.getFloat32(at, true),
  u64: (v, at) => v.getUint32(at, true) + v.getUint32(at + 4, true) * 2 ** 32,
  i64: (v, at) => v.getUint32(at, true) + v.getInt32(at + 4, true) * 2 ** 32,
  f64: (v, at) => v.getFloat64(at, true),
};

/** The bytes as a source. */
export const sourceOf = (file: string, bytes: Uint8Array): Source => ({
  file,
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
});

/** An error about the byte at `offset`. */
export const invalid = (source: Source, at: string, found: string, allowed: string, offset: number): E.Either<KvError, never> =>
  E.left({ _tag: "InvalidFile", file: source.file, at, found, allowed, offset });

/** `count` bytes as a view into the file. */
export const readBytes = (count: number): Read<Uint8Array> => (source, at, what) => {
  const left = source.bytes.length - at;
  if (count <= left) return E.right({ value: source.bytes.subarray(at, at + count), next: at + count });
  return invalid(source, what, `a file of ${source.bytes.length} bytes`, `at least ${at + count} bytes`, at);
};

/** A number of the given type. 64-bit integers beyond 2^53 lose their low bits here; counts and lengths are refused there. */
const readNumber = (type: NumberType): Read<number> => (source, at, what) =>
  E.map((s: Step<Uint8Array>) => ({ value: getters[type](source.view, at), next: s.next }))(readBytes(sizes[type])(source, at, what));

/** A 32-bit whole number from 0. */
export const readU32: Read<number> = readNumber("u32");

/** A 64-bit count, at most `most`, of things that take at least `bytesEach` bytes of the rest of the file. */
export const readCount = (bytesEach: number, most: number): Read<number> => (source, at, what) =>
  E.chain(({ value, next }: Step<number>) => {
    const fits = Math.floor((source.bytes.length - next) / bytesEach);
    const why = fits <= most ? ", what the rest of the file can hold" : "";
    return value <= Math.min(fits, most)
      ? E.right({ value, next })
      : invalid(source, what, whole(value), `0 to ${Math.min(fits, most)}${why}`, at);
  })(readNumber("u64")(source, at, what));

/** A UTF-8 string of at most `most` bytes. */
export const readString = (most: number): Read<string> => (source, at, what) =>
  E.chain(({ value: length, next }: Step<number>) => {
    const bytes = source.bytes.subarray(next, next + length);
    const text = decodeUtf8(bytes);
    return text === null
      ? invalid(source, what, "bytes that are not UTF-8", "UTF-8", next)
      : E.right<KvError, Step<string>>({ value: text, next: next + length });
  })(readCount(1, most)(source, at, `length of ${what}`));

/** Null where the bytes are not UTF-8 (without the exception of a fatal `TextDecoder`). */
function decodeUtf8(bytes: Uint8Array): string | null {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  // A replacement character is either in the bytes already (EF BF BD) or the mark of a bad sequence: then encoding gives other bytes.
  return !text.includes("\uFFFD") || sameBytes(new TextEncoder().encode(text), bytes) ? text : null;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

/** A metadata value of the type whose id is `type`. */
export const readValue = (type: number): Read<GgufValue> => (source, at, what) => {
  const number = numberTypes.get(type);
  if (number !== undefined) return E.map((s: Step<number>) => numberValue(source, at, number, s))(readNumber(number)(source, at, what));
  if (type === 7) return readBool(source, at, what);
  if (type === 8) {
    return E.map((s: Step<string>): Step<GgufValue> => ({ value: { _tag: "String", value: s.value }, next: s.next }))(
      readString(longestString)(source, at, what),
    );
  }
  return type === 9 ? readArray(1)(source, at, what) : invalid(source, `type of ${what}`, String(type), "0 to 12", at - 4);
};

function numberValue(source: Source, at: number, type: NumberType, { value, next }: Step<number>): Step<GgufValue> {
  const wide = (type === "u64" || type === "i64") && !Number.isSafeInteger(value);
  if (!wide) return { value: { _tag: "Number", type, value }, next };
  const exact = type === "u64" ? source.view.getBigUint64(at, true) : source.view.getBigInt64(at, true);
  return { value: { _tag: "Wide", type, value: exact }, next };
}

const readBool: Read<GgufValue> = (source, at, what) =>
  E.chain(({ value, next }: Step<number>) =>
    value <= 1
      ? E.right<KvError, Step<GgufValue>>({ value: { _tag: "Bool", value: value === 1 }, next })
      : invalid(source, what, String(value), "0 or 1 for a truth value", at)
  )(readNumber("u8")(source, at, what));

const readArray = (depth: number): Read<GgufValue> => (source, at, what) =>
  E.chain(({ value: type, next }: Step<number>): E.Either<KvError, Step<GgufValue>> => {
    const number = numberTypes.get(type);
    if (number !== undefined) return readNumbers(number)(source, next, what);
    if (type === 7) return readBools(source, next, what);
    if (type === 8) return readStrings(source, next, what);
    if (type !== 9) return invalid(source, `element type of ${what}`, String(type), "0 to 12", at);
    return depth < deepest
      ? readNested(depth)(source, next, what)
      : invalid(source, what, "arrays in arrays", `at most ${deepest} deep`, at);
  })(readU32(source, at, what));

const readNumbers = (type: NumberType): Read<GgufValue> => (source, at, what) =>
  E.map(({ value: count, next }: Step<number>): Step<GgufValue> => {
    const end = next + count * sizes[type];
    return { value: { _tag: "Numbers", type, count, bytes: source.bytes.subarray(next, end) }, next: end };
  })(readCount(sizes[type], Number.MAX_SAFE_INTEGER)(source, at, `count of ${what}`));

const readBools: Read<GgufValue> = (source, at, what) =>
  E.chain(({ value: count, next }: Step<number>): E.Either<KvError, Step<GgufValue>> => {
    const bytes = source.bytes.subarray(next, next + count);
    const bad = bytes.findIndex((b) => b > 1);
    return bad < 0
      ? E.right({ value: { _tag: "Bools", values: Array.from(bytes, (b) => b === 1) }, next: next + count })
      : invalid(source, `${what}, element ${bad}`, String(bytes[bad]), "0 or 1 for a truth value", next + bad);
  })(readCount(1, longestBools)(source, at, `count of ${what}`));

const readStrings: Read<GgufValue> = (source, at, what) =>
  E.chain(({ value: count, next: from }: Step<number>): E.Either<KvError, Step<GgufValue>> => {
    const end = source.bytes.length;
    let next = from;
    for (let i = 0; i < count; i++) {
      const length = end - next < 8 ? Infinity : getters.u64(source.view, next);
      if (length > end - next - 8) {
        return end - next < 8
          ? invalid(source, `${what}, string ${i}`, `a file of ${end} bytes`, `at least ${next + 8} bytes`, next)
          : invalid(source, `length of ${what}, string ${i}`, whole(length), `0 to ${end - next - 8}, what is left of the file`, next);
      }
      next += 8 + length;
    }
    return E.right({ value: { _tag: "Strings", count, bytes: source.bytes.subarray(from, next) }, next });
  })(readCount(8, Number.MAX_SAFE_INTEGER)(source, at, `count of ${what}`));

/** Each inner array takes at least 12 bytes, so this ends after a walk over the file. */
const readNested = (depth: number): Read<GgufValue> => (source, at, what) =>
  E.chain(({ value: count, next: from }: Step<number>): E.Either<KvError, Step<GgufValue>> => {
    let next = from;
    for (let i = 0; i < count; i++) {
      const inner = readArray(depth + 1)(source, next, what);
      if (E.isLeft(inner)) return inner;
      next = inner.right.next;
    }
    return E.right({ value: { _tag: "Nested", count }, next });
  })(readCount(12, Number.MAX_SAFE_INTEGER)(source, at, `count of ${what}`));

/** A whole number without an exponent. */
const whole = (value: number): string => Number.isFinite(value) ? BigInt(value).toString() : String(value);

/** The numbers of an array value. 64-bit integers beyond 2^53 lose their low bits. */
export function numbersOf({ type, count, bytes }: Extract<GgufValue, { readonly _tag: "Numbers" }>): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: count }, (_, i) => getters[type](view, i * sizes[type]));
}

/** The strings of an array value; bytes that are not UTF-8 become U+FFFD. */
export function stringsOf({ count, bytes }: Extract<GgufValue, { readonly _tag: "Strings" }>): ReadonlyArray<string> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let at = 0;
  return Array.from({ length: count }, () => {
    const from = at + 8;
    at = from + getters.u64(view, at);
    return decoder.decode(bytes.subarray(from, at));
  });
}
