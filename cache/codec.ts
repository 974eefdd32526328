/**
 * Row codecs: how many bytes a row takes, and the affine quantiser behind the coded ones.
 *
 * An affine group of numbers x is stored as a scale `s` and an offset `z`, both f16, and codes `q` of b bits, lowest bits first:
 * `z = min(x)`, `s = (max(x) - min(x)) / (2^b - 1)`, both rounded to f16 *before* `q = round((x - z) / s)`, clamped to 0 .. 2^b - 1, ties to
 * even; decoded `x' = q * s + z`. A group whose s is 0 has codes 0 and decodes to z. (KIVI, arXiv 2402.02750, section 3; the order of
 * rounding is kvfold's, so that codes fit the pair that is stored.)
 *
 * Per token, a row is `[s, z]` for each group of neighbouring channels, then its codes: it stands alone. Per channel, a block of
 * {@link blockRows} rows is `[s of each channel][z of each channel]`, then the codes row by row: rows come and go in whole blocks.
 * @module
 */
import { channelBytes } from "./channels.ts";
import type { Codec } from "./types.ts";

/** Names of the row codecs in code order: `q4` has one group a row, `q4g32` groups of 32 channels, `q4c32` one group per channel of 32 rows;
 * `f16k60` keeps the 60 % of the channels of a row that are largest. */
export const rowCodecs = [
  "f32",
  "f16",
  "q8",
  "q4",
  "q2",
  "q8g32",
  "q4g32",
  "q2g32",
  "q8g64",
  "q4g64",
  "q2g64",
  "q8c32",
  "q4c32",
  "q2c32",
  "f16k90",
  "f16k80",
  "f16k70",
  "f16k60",
  "f16k50",
  "f16k40",
  "f16k30",
  "f16k20",
  "f16k10",
] as const;

/** Name of a row codec. */
export type RowCodec = typeof rowCodecs[number];

type Affine = Extract<Codec, { readonly _tag: "Affine" }>;

/** The codec of a name. */
export function codecOf(name: RowCodec): Codec {
  if (name === "f32" || name === "f16") return { _tag: "Plain", dtype: name };
  const kept = /^f16k(\d+)$/.exec(name);
  if (kept !== null) return { _tag: "Channels", percent: Number(kept[1]) };
  const [, bits, axis, group] = /^q([842])(?:([gc])(\d+))?$/.exec(name) ?? [];
  return {
    _tag: "Affine",
    bits: bits === "8" ? 8 : bits === "4" ? 4 : 2,
    axis: axis === "c" ? "channel" : "token",
    group: group === undefined ? null : Number(group),
  };
}

/** The name of a codec, which `codecOf` reads. */
export function codecName(codec: Codec): RowCodec {
  const name = codec._tag === "Plain"
    ? codec.dtype
    : codec._tag === "Channels"
    ? `f16k${codec.percent}`
    : `q${codec.bits}${codec.group === null ? "" : `${codec.axis === "channel" ? "c" : "g"}${codec.group}`}`;
  return rowCodecs.find((known) => known === name) ?? "f32";
}

/** Rows that are stored together: 1, or the group of a per-channel codec. Segments of such a tier start and end at multiples of it. */
export const blockRows = (codec: Codec): number => codec._tag === "Affine" && codec.axis === "channel" ? codec.group ?? 1 : 1;

/** Channels per group of a per-token codec. */
const groupOf = (codec: Affine, dim: number): number => codec.group ?? Math.max(1, dim);

/** Bytes of one row of `dim` numbers; of a per-channel codec, its share of a block.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals((["f16", "q8", "q4g32", "q2c32", "f16k60"] as const).map((name) => rowBytes(codecOf(name), 64)), [128, 68, 40, 24, 88]);
 * ```
 */
export function rowBytes(codec: Codec, dim: number): number {
  if (codec._tag === "Plain") return dim * (codec.dtype === "f32" ? 4 : 2);
  if (codec._tag === "Channels") return channelBytes(dim, codec.percent);
  const codes = dim * codec.bits / 8;
  return codec.axis === "channel" ? codes + 4 * dim / blockRows(codec) : codes + 4 * dim / groupOf(codec, dim);
}

/** What rows of `dim` channels must satisfy under a codec, or null: codes fill whole 32-bit words, and groups fill the row. */
export function codecFault(codec: Codec, dim: number): string | null {
  if (codec._tag === "Plain") return null;
  if (dim > 1024) return "at most 1024 channels";
  if (codec._tag === "Channels") return dim % 2 === 0 ? null : "an even number of channels";
  if (dim * codec.bits % 32 !== 0) return `a number of channels that fills whole words of 32 bits, a multiple of ${32 / codec.bits}`;
  const group = groupOf(codec, dim);
  return codec.axis === "channel" || dim % group === 0 ? null : `a multiple of the group of ${group} channels`;
}

const largestHalf = 65504;
/** The nearest half, at most the largest one; NaN, which infinities of one sign give, is 0. */
const halfOf = (x: number): number => Number.isNaN(x) ? 0 : Math.f16round(Math.min(largestHalf, Math.max(-largestHalf, x)));

/** Codes of `count` numbers from `from` on, `step` apart, by `put`; gives the pair that is stored. */
function quantise(
  x: ArrayLike<number>,
  [from, step, count]: readonly [number, number, number],
  bits: number,
  put: (i: number, code: number) => void,
): readonly [scale: number, zero: number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    const v = x[from + i * step] ?? 0;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const most = 2 ** bits - 1;
  const zero = halfOf(low > high ? 0 : low);
  const scale = halfOf(low > high ? 0 : Math.fround(Math.fround(high - low) / most));
  for (let i = 0; i < count; i++) {
    const q = scale === 0 ? 0 : Math.fround(Math.fround((x[from + i * step] ?? 0) - zero) / scale);
    put(i, q > 0 ? roundEven(Math.min(q, most)) : 0);
  }
  return [scale, zero];
}

/** Nearest whole number, ties to even; x from 0 to 255. */
function roundEven(x: number): number {
  const whole = Math.floor(x);
  const rest = x - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
}

/** Where the parts of the block that holds row `slot` lie, in bytes. */
function placeOf(codec: Affine, dim: number, slot: number): { readonly pairs: number; readonly codes: number } {
  const block = blockRows(codec);
  const start = (slot - slot % block) * rowBytes(codec, dim);
  const header = codec.axis === "channel" ? 4 * dim : 4 * dim / groupOf(codec, dim);
  return { pairs: start, codes: start + header + slot % block * dim * codec.bits / 8 };
}

/** Writes `rows` rows of f32 numbers from `slot` on; per-channel codecs take whole blocks. */
export function writeAffine(codec: Affine, numbers: ArrayLike<number>, rows: number, dim: number, to: Uint8Array, slot: number): void {
  const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
  const { bits } = codec;
  const put = (row: number, channel: number, code: number): void => {
    const at = placeOf(codec, dim, slot + row).codes + (channel * bits >> 3);
    const shift = channel * bits & 7;
    to[at] = ((to[at] ?? 0) & ~((2 ** bits - 1) << shift)) | code << shift;
  };
  if (codec.axis === "channel") {
    const block = blockRows(codec);
    for (let r = 0; r < rows; r += block) {
      const { pairs } = placeOf(codec, dim, slot + r);
      for (let c = 0; c < dim; c++) {
        const [scale, zero] = quantise(numbers, [r * dim + c, dim, block], bits, (i, code) => put(r + i, c, code));
        view.setFloat16(pairs + 2 * c, scale, true);
        view.setFloat16(pairs + 2 * (dim + c), zero, true);
      }
    }
    return;
  }
  const group = groupOf(codec, dim);
  for (let r = 0; r < rows; r++) {
    const { pairs } = placeOf(codec, dim, slot + r);
    for (let g = 0; g * group < dim; g++) {
      const [scale, zero] = quantise(numbers, [r * dim + g * group, 1, group], bits, (i, code) => put(r, g * group + i, code));
      view.setFloat16(pairs + 4 * g, scale, true);
      view.setFloat16(pairs + 4 * g + 2, zero, true);
    }
  }
}

/** Numbers of `rows` rows from `slot` on: `q * s + z`, which f32 rounds once. */
export function readAffine(codec: Affine, from: Uint8Array, slot: number, rows: number, dim: number): Float32Array<ArrayBuffer> {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const out = new Float32Array(rows * dim);
  const { bits } = codec;
  const group = groupOf(codec, dim);
  for (let r = 0; r < rows; r++) {
    const { pairs, codes } = placeOf(codec, dim, slot + r);
    for (let c = 0; c < dim; c++) {
      const at = codec.axis === "channel" ? pairs + 2 * c : pairs + 4 * Math.floor(c / group);
      const [scale, zero] = [view.getFloat16(at, true), view.getFloat16(at + (codec.axis === "channel" ? 2 * dim : 2), true)];
      out[r * dim + c] = ((from[codes + (c * bits >> 3)] ?? 0) >> (c * bits & 7) & (2 ** bits - 1)) * scale + zero;
    }
  }
  return out;
}

/** One row of a per-token codec, taken apart. */
export interface RowCodes {
  /** Scale and offset of each group. */
  readonly pairs: ReadonlyArray<readonly [scale: number, zero: number]>;
  /** Codes by channel. */
  readonly codes: Uint8Array;
}

/** The rows of a per-token codec, taken apart. */
export function readCodes(codec: Affine, dim: number, bytes: Uint8Array): ReadonlyArray<RowCodes> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / rowBytes(codec, dim)) }, (_, row) => {
    const { pairs, codes } = placeOf(codec, dim, row);
    const [groups, mask] = [dim / groupOf(codec, dim), 2 ** codec.bits - 1];
    return {
      pairs: Array.from(
        { length: groups },
        (_, g) => [view.getFloat16(pairs + 4 * g, true), view.getFloat16(pairs + 4 * g + 2, true)] as const,
      ),
      codes: Uint8Array.from({ length: dim }, (_, c) => (bytes[codes + (c * codec.bits >> 3)] ?? 0) >> (c * codec.bits & 7) & mask),
    };
  });
}

/** Rows of a per-token codec, put together. */
export function writeCodes(codec: Affine, dim: number, rows: ReadonlyArray<RowCodes>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(rows.length * rowBytes(codec, dim));
  const view = new DataView(bytes.buffer);
  for (const [row, of] of rows.entries()) {
    const { pairs, codes } = placeOf(codec, dim, row);
    of.pairs.forEach(([scale, zero], g) => {
      view.setFloat16(pairs + 4 * g, scale, true);
      view.setFloat16(pairs + 4 * g + 2, zero, true);
    });
    of.codes.forEach((code, c) =>
      bytes[codes + (c * codec.bits >> 3)] = (bytes[codes + (c * codec.bits >> 3)] ?? 0) | code << (c * codec.bits & 7)
    );
  }
  return bytes;
}
