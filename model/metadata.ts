/**
 * Typed reading of GGUF metadata: each value by its key, of the right kind and within its range, or an error that names the key.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { invalidFile, type KvError } from "../cache/error.ts";
import type { GgufFile, GgufValue } from "./gguf.ts";
import { numbersOf, stringsOf } from "./gguf.ts";

/** Turns a value into what is wanted, or says in words what would be allowed. */
export interface Want<A> {
  /** Completes "allowed is …". */
  readonly allowed: string;
  /** Null if the value is not allowed. */
  readonly from: (value: GgufValue) => A | null;
}

/** A whole number of an integer type. */
export const wholeNumber = (least: number, most: number): Want<number> => ({
  allowed: `a whole number from ${least} to ${most}`,
  from: (v) => v._tag === "Number" && isWhole(v.value, v.type, least, most) ? v.value : null,
});

/** A floating point number above `above` and at most `most`. */
export const realNumber = (above: number, most: number): Want<number> => ({
  allowed: `a number above ${above}, at most ${most}`,
  from: (v) => v._tag === "Number" && (v.type === "f32" || v.type === "f64") && v.value > above && v.value <= most ? v.value : null,
});

/** One whole number for all layers, or an array with one per layer. */
export const perLayer = (layers: number, least: number, most: number): Want<ReadonlyArray<number>> => ({
  allowed: `a whole number from ${least} to ${most}, or ${layers} of them`,
  from: (v) => {
    if (v._tag === "Number") return isWhole(v.value, v.type, least, most) ? new Array<number>(layers).fill(v.value) : null;
    if (v._tag !== "Numbers" || v.count !== layers) return null;
    const values = Array.from(numbersOf(v));
    return values.every((x) => isWhole(x, v.type, least, most)) ? values : null;
  },
});

/** Text. */
export const text: Want<string> = { allowed: "text", from: (v) => v._tag === "String" ? v.value : null };

/** True or false. */
export const flag: Want<boolean> = { allowed: "true or false", from: (v) => v._tag === "Bool" ? v.value : null };

/** An array of texts. */
export const texts: Want<ReadonlyArray<string>> = { allowed: "an array of texts", from: (v) => v._tag === "Strings" ? stringsOf(v) : null };

/** An array of `count` whole numbers. */
export const wholeNumbers = (count: number, least: number, most: number): Want<ReadonlyArray<number>> => ({
  allowed: `${count} whole numbers from ${least} to ${most}`,
  from: (v) => {
    if (v._tag !== "Numbers" || v.count !== count) return null;
    const values = Array.from(numbersOf(v));
    return values.every((x) => isWhole(x, v.type, least, most)) ? values : null;
  },
});

/** The value of a key that may be absent: null then. */
export const optional: <A>(want: Want<A>) => (key: string) => (gguf: GgufFile) => E.Either<KvError, A | null> =
  (want) => (key) => (gguf) => {
    const value = gguf.metadata.get(key);
    if (value === undefined) return E.right(null);
    const found = want.from(value);
    return found === null ? E.left(invalidFile(gguf, key, showValue(value), want.allowed)) : E.right(found);
  };

/** The value of a key that must be there. */
export const required: <A>(want: Want<A>) => (key: string) => (gguf: GgufFile) => E.Either<KvError, A> =
  <A>(want: Want<A>) => (key: string) => (gguf: GgufFile) =>
    E.chain((found: A | null) => found === null ? E.left(invalidFile(gguf, key, "no such key", want.allowed)) : E.right(found))(
      optional(want)(key)(gguf),
    );

const isWhole = (value: number, type: string, least: number, most: number): boolean =>
  type !== "f32" && type !== "f64" && Number.isSafeInteger(value) && value >= least && value <= most;

/** A value as an error shows it. */
function showValue(value: GgufValue): string {
  switch (value._tag) {
    case "Number":
      return `${value.value} (${value.type})`;
    case "Wide":
    case "Bool":
      return String(value.value);
    case "String":
      return JSON.stringify(value.value.slice(0, 60));
    case "Numbers":
      return `an array of ${value.count} ${value.type}`;
    case "Bools":
      return `an array of ${value.values.length} truth values`;
    case "Strings":
      return `an array of ${value.count} texts`;
    case "Nested":
      return `an array of ${value.count} arrays`;
  }
}
