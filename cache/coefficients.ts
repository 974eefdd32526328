/**
 * Transform coefficients as bytes and back, as a bit plan says. Every group has its own scale and shift for every token (KVTC, arXiv
 * 2511.01815, appendix B): `x = q * scale + shift`.
 *
 * Bytes are planes, because like next to like compresses better: group by group the scales of all tokens (f16), their shifts (f16, none for
 * `fp8`), then their codes, token by token, lowest bits first. A group of `none` has no bytes.
 * @module
 */
import { bitsOf, type CoefficientGroup, type CoefficientType } from "./bit_plan.ts";

/** Bytes of the codes of one group of one token. */
const codeBytes = ({ size, type }: CoefficientGroup): number => Math.ceil(size * bitsOf[type] / 8);

/** Bytes of a scale and a shift. */
const pairBytes = (type: CoefficientType): number => type === "none" ? 0 : type === "fp8" ? 2 : 4;

/** Bytes of `tokens` tokens under a plan. */
export const coefficientBytes = (groups: ReadonlyArray<CoefficientGroup>, tokens: number): number =>
  tokens * groups.reduce((sum, group) => sum + codeBytes(group) + pairBytes(group.type), 0);

const LARGEST_HALF = 65504;
const limited = (x: number): number => x > LARGEST_HALF ? LARGEST_HALF : x < -LARGEST_HALF ? -LARGEST_HALF : x;

/** Largest number of E4M3: 1.75 * 2^8. */
const LARGEST_FP8 = 448;

/** Largest code of a type, or number of an fp8. */
const mostOf: Readonly<Record<CoefficientType, number>> = { none: 0, int2: 3, int4: 15, fp8: LARGEST_FP8, int8: 255 };

/** Puts scale and shift of x[from, from + size) into `pair`, which rounds them to what is stored. A constant group has scale 0 and decodes to
 * its shift. */
export function measureGroup(x: Float32Array, from: number, size: number, type: CoefficientType, pair: Float16Array): void {
  let low = Infinity;
  let high = -Infinity;
  for (let i = from; i < from + size; i++) {
    const v = x[i] ?? 0;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  pair[0] = limited((type === "fp8" ? Math.max(high, -low) : high - low) / mostOf[type]);
  pair[1] = type === "fp8" ? 0 : limited(low);
}

const inverse = (scale: number): number => scale === 0 ? 0 : 1 / scale;

/** The code of a number on an even grid. */
function codeOf(x: number, shift: number, factor: number, most: number): number {
  const q = (x - shift) * factor + 0.5;
  return q < 0 ? 0 : q > most ? most : q | 0;
}

/** The code of a number under a pair. */
export const quantised = (type: CoefficientType, x: number, scale: number, shift: number): number =>
  type === "fp8" ? toFp8(x * inverse(scale)) : codeOf(x, shift, inverse(scale), mostOf[type]);

/** Codes of x[from, end) side by side from a byte on, lowest bits first. */
function pack(x: Float32Array, from: number, end: number, type: CoefficientType, pair: Float16Array, out: Uint8Array, at: number): void {
  const shift = pair[1] ?? 0;
  const factor = inverse(pair[0] ?? 0);
  const most = mostOf[type];
  const each = 8 / bitsOf[type];
  const whole = end - (end - from) % each;
  let i = from;
  if (type === "fp8") { for (; i < end; i++) out[at++] = toFp8((x[i] ?? 0) * factor); }
  else if (each === 1) { for (; i < end; i++) out[at++] = codeOf(x[i] ?? 0, shift, factor, most); }
  else if (each === 2) {
    for (; i < whole; i += 2) out[at++] = codeOf(x[i] ?? 0, shift, factor, 15) | codeOf(x[i + 1] ?? 0, shift, factor, 15) << 4;
  } else {
    for (; i < whole; i += 4) {
      out[at++] = codeOf(x[i] ?? 0, shift, factor, 3) | codeOf(x[i + 1] ?? 0, shift, factor, 3) << 2 |
        codeOf(x[i + 2] ?? 0, shift, factor, 3) << 4 | codeOf(x[i + 3] ?? 0, shift, factor, 3) << 6;
    }
  }
  for (let k = 0; i < end; i++, k += bitsOf[type]) out[at] = (k === 0 ? 0 : out[at] ?? 0) | codeOf(x[i] ?? 0, shift, factor, most) << k;
}

/** The reverse of {@link pack}: numbers x[from, end). */
function unpack(
  bytes: Uint8Array,
  at: number,
  type: CoefficientType,
  pair: Float16Array,
  x: Float32Array,
  from: number,
  end: number,
): void {
  const scale = pair[0] ?? 0;
  const shift = pair[1] ?? 0;
  const bits = bitsOf[type];
  const whole = end - (end - from) % (8 / bits);
  let i = from;
  if (type === "fp8") { for (; i < end; i++) x[i] = (FP8[bytes[at++] ?? 0] ?? 0) * scale; }
  else if (bits === 8) { for (; i < end; i++) x[i] = (bytes[at++] ?? 0) * scale + shift; }
  else if (bits === 4) {
    for (; i < whole; i += 2) {
      const byte = bytes[at++] ?? 0;
      x[i] = (byte & 15) * scale + shift;
      x[i + 1] = (byte >> 4) * scale + shift;
    }
  } else {
    for (; i < whole; i += 4) {
      const byte = bytes[at++] ?? 0;
      x[i] = (byte & 3) * scale + shift;
      x[i + 1] = (byte >> 2 & 3) * scale + shift;
      x[i + 2] = (byte >> 4 & 3) * scale + shift;
      x[i + 3] = (byte >> 6) * scale + shift;
    }
  }
  for (let k = 0; i < end; i++, k += bits) x[i] = ((bytes[at] ?? 0) >> k & mostOf[type]) * scale + shift;
}

/** The number that a code stands for. */
export const dequantised = (type: CoefficientType, code: number, scale: number, shift: number): number =>
  type === "fp8" ? (FP8[code] ?? 0) * scale : code * scale + shift;

/** Bytes of all tokens. */
export interface Planes {
  readonly bytes: Uint8Array;
  readonly tokens: number;
}

/** A group of a plan, and where it lies. */
interface Placed extends CoefficientGroup {
  /** First coefficient. */
  readonly first: number;
  /** First byte of its scales, of its shifts, of its codes. */
  readonly scales: number;
  readonly shifts: number;
  readonly codes: number;
  /** Bytes of the codes of a token. */
  readonly step: number;
}

/** The groups that have bytes. */
function placed(groups: ReadonlyArray<CoefficientGroup>, tokens: number): ReadonlyArray<Placed> {
  const all: Placed[] = [];
  let [plane, first] = [0, 0];
  for (const group of groups) {
    const codes = plane + tokens * pairBytes(group.type);
    if (group.type !== "none") all.push({ ...group, first, scales: plane, shifts: plane + 2 * tokens, codes, step: codeBytes(group) });
    plane = codes + tokens * codeBytes(group);
    first += group.size;
  }
  return all;
}

/** Writes coefficients x f32 [count, width] of tokens from `from` on to their places; width is at least what the plan reaches. */
export function encodeTokens(
  groups: ReadonlyArray<CoefficientGroup>,
  { bytes, tokens }: Planes,
  from: number,
  x: Float32Array,
  width: number,
): void {
  const pair = new Float16Array(2);
  const halves = new Uint8Array(pair.buffer);
  for (const { size, type, first, scales, shifts, codes, step } of placed(groups, tokens)) {
    for (let t = from, at = first; at < x.length; t++, at += width) {
      measureGroup(x, at, size, type, pair);
      pack(x, at, at + size, type, pair, bytes, codes + t * step);
      bytes[scales + 2 * t] = halves[0] ?? 0;
      bytes[scales + 2 * t + 1] = halves[1] ?? 0;
      if (type === "fp8") continue;
      bytes[shifts + 2 * t] = halves[2] ?? 0;
      bytes[shifts + 2 * t + 1] = halves[3] ?? 0;
    }
  }
}

/** The reverse: coefficients of `count` tokens from `from` on to x f32 [count, width]. Those of `none` and behind the plan stay as they are. */
export function decodeTokens(
  groups: ReadonlyArray<CoefficientGroup>,
  { bytes, tokens }: Planes,
  from: number,
  count: number,
  x: Float32Array,
  width: number,
): void {
  const pair = new Float16Array(2);
  const halves = new Uint8Array(pair.buffer);
  for (const { size, type, first, scales, shifts, codes, step } of placed(groups, tokens)) {
    for (let t = from, at = first; t < from + count; t++, at += width) {
      halves[0] = bytes[scales + 2 * t] ?? 0;
      halves[1] = bytes[scales + 2 * t + 1] ?? 0;
      halves[2] = type === "fp8" ? 0 : bytes[shifts + 2 * t] ?? 0;
      halves[3] = type === "fp8" ? 0 : bytes[shifts + 2 * t + 1] ?? 0;
      unpack(bytes, codes + t * step, type, pair, x, at, at + size);
    }
  }
}

/** The numbers of E4M3 "fn": sign, 4 bits of exponent with bias 7, 3 bits of mantissa; no infinities, 0x7f and 0xff are NaN and never written. */
const FP8: Float32Array = Float32Array.from({ length: 256 }, (_, code) => {
  const [exponent, mantissa] = [code >> 3 & 15, code & 7];
  const size = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  return (code & 127) === 127 ? 0 : code < 128 ? size : -size;
});

/** The nearest E4M3 code, halves away from zero, saturating at 448.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([0, 1, -1, 256, 288, 448, 1e9].map(toFp8), [0, 0x38, 0xb8, 0x78, 0x79, 0x7e, 0x7e]);
 * ```
 */
export function toFp8(x: number): number {
  const size = Math.min(Math.abs(x), LARGEST_FP8);
  const sign = x < 0 ? 128 : 0;
  if (!(size > 0)) return 0;
  const exponent = Math.max(-6, Math.floor(Math.log2(size)));
  const steps = Math.floor(size / 2 ** (exponent - 3) + 0.5);
  const code = exponent === -6 && steps < 8 ? steps : (exponent + 7 << 3) + steps - 8;
  return sign | Math.min(126, code);
}
