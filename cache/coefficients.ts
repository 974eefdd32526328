/**
 * Transform coefficients as bytes and back, as a bit plan says. Every group has its own scale and shift for every token (KVTC, arXiv
 * 2511.01815, appendix B): `x = q * scale + shift`.
 *
 * Bytes are planes, because like next to like compresses better: group by group the scales of all tokens (f16), their shifts (f16, none for
 * `fp8`), then their codes, token by token, lowest bits first. A group of `none` has no bytes.
 * @module
 */
import { bitsOf, type CoefficientGroup, type CoefficientType, reachOf } from "./bit_plan.ts";

/** Bytes of the codes of one group of one token. */
const codeBytes = ({ size, type }: CoefficientGroup): number => Math.ceil(size * bitsOf[type] / 8);

/** Bytes of a scale and a shift. */
const pairBytes = (type: CoefficientType): number => type === "none" ? 0 : type === "fp8" ? 2 : 4;

/** Bytes of `tokens` tokens under a plan. */
export const coefficientBytes = (groups: ReadonlyArray<CoefficientGroup>, tokens: number): number =>
  tokens * groups.reduce((sum, group) => sum + codeBytes(group) + pairBytes(group.type), 0);

const LARGEST_HALF = 65504;
const halfOf = (x: number): number => Math.f16round(x > LARGEST_HALF ? LARGEST_HALF : x < -LARGEST_HALF ? -LARGEST_HALF : x);

/** Writes the codes of x[from, from + size) to the first `size` places of `codes`; gives scale and shift as they are stored. A constant group
 * has scale 0 and decodes to its shift. */
export function quantiseGroup(
  x: Float32Array,
  from: number,
  size: number,
  type: CoefficientType,
  codes: Uint8Array,
): readonly [scale: number, shift: number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = from; i < from + size; i++) {
    const v = x[i] ?? 0;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (type === "fp8") {
    const scale = halfOf(Math.max(high, -low) / LARGEST_FP8);
    const factor = scale === 0 ? 0 : 1 / scale;
    for (let i = 0; i < size; i++) codes[i] = toFp8((x[from + i] ?? 0) * factor);
    return [scale, 0];
  }
  const most = 2 ** bitsOf[type] - 1;
  const shift = halfOf(low);
  const scale = halfOf((high - low) / most);
  const factor = scale === 0 ? 0 : 1 / scale;
  for (let i = 0; i < size; i++) {
    const q = ((x[from + i] ?? 0) - shift) * factor + 0.5;
    codes[i] = q < 0 ? 0 : q > most ? most : q;
  }
  return [scale, shift];
}

/** Puts codes side by side from a byte on, lowest bits first. */
function pack(codes: Uint8Array, size: number, bits: number, out: Uint8Array, at: number): void {
  if (bits === 8) return out.set(codes.subarray(0, size), at);
  const each = 8 / bits;
  for (let i = 0; i < size; i += each, at++) {
    let byte = 0;
    for (let k = 0; k < each && i + k < size; k++) byte |= (codes[i + k] ?? 0) << k * bits;
    out[at] = byte;
  }
}

/** The number that a code stands for. */
export const dequantised = (type: CoefficientType, code: number, scale: number, shift: number): number =>
  type === "fp8" ? (FP8[code] ?? 0) * scale : code * scale + shift;

/** Bytes of coefficients f32 [tokens, width]; width is at least what the plan reaches. */
export function encodeCoefficients(groups: ReadonlyArray<CoefficientGroup>, x: Float32Array, width: number): Uint8Array<ArrayBuffer> {
  const tokens = width === 0 ? 0 : x.length / width;
  const out = new Uint8Array(coefficientBytes(groups, tokens));
  const view = new DataView(out.buffer);
  let [plane, first] = [0, 0];
  for (const group of groups) {
    const { size, type } = group;
    const bits = bitsOf[type];
    const own = new Uint8Array(size);
    const codes = plane + tokens * pairBytes(type);
    for (let t = 0; type !== "none" && t < tokens; t++) {
      const [scale, shift] = quantiseGroup(x, t * width + first, size, type, own);
      pack(own, size, bits, out, codes + t * codeBytes(group));
      view.setFloat16(plane + 2 * t, scale, true);
      if (type !== "fp8") view.setFloat16(plane + 2 * (tokens + t), shift, true);
    }
    plane = type === "none" ? plane : codes + tokens * codeBytes(group);
    first += size;
  }
  return out;
}

/** Coefficients f32 [tokens, reach] of the bytes that {@link encodeCoefficients} gives; those of `none` are 0. */
export function decodeCoefficients(groups: ReadonlyArray<CoefficientGroup>, bytes: Uint8Array, tokens: number): Float32Array<ArrayBuffer> {
  const width = reachOf(groups);
  const out = new Float32Array(tokens * width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let [plane, first] = [0, 0];
  for (const group of groups) {
    const { size, type } = group;
    if (type !== "none") {
      const bits = bitsOf[type];
      const mask = 2 ** bits - 1;
      const codes = plane + tokens * pairBytes(type);
      for (let t = 0; t < tokens; t++) {
        const scale = view.getFloat16(plane + 2 * t, true);
        const shift = type === "fp8" ? 0 : view.getFloat16(plane + 2 * (tokens + t), true);
        const [at, to] = [codes + t * codeBytes(group), t * width + first];
        for (let i = 0; i < size; i++) {
          const code = (bytes[at + (i * bits >> 3)] ?? 0) >> (i * bits & 7) & mask;
          out[to + i] = type === "fp8" ? (FP8[code] ?? 0) * scale : code * scale + shift;
        }
      }
      plane = codes + tokens * codeBytes(group);
    }
    first += size;
  }
  return out;
}

/** Largest number of E4M3: 1.75 * 2^8. */
const LARGEST_FP8 = 448;

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
