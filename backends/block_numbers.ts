/**
 * GGUF blocks to numbers, one short function per type. Each number is computed exactly in f64 and rounded once to f32.
 * Source of the layouts: the structures and dequantisation of `ggml-org/ggml`, `src/ggml-common.h` and `src/ggml-quants.c`,
 * restated in words: `half(o)` is the IEEE half at byte o of the block, little-endian; low nibbles are the first half of a
 * block, high nibbles the second.
 * @module
 */
import type { WeightType } from "./backend.ts";
import { blockForms } from "./blocks.ts";

/** Writes the numbers of the block at byte `at` to `out` from index `to`. */
type DecodeBlock = (view: DataView, at: number, out: Float32Array, to: number) => void;

const half = (view: DataView, at: number): number => view.getFloat16(at, true);
const u8 = (view: DataView, at: number): number => view.getUint8(at);

/** The four-bit number of element e of 32 whose nibbles start at byte `at`. */
const nibble = (view: DataView, at: number, e: number): number => e < 16 ? u8(view, at + e) & 15 : u8(view, at + e - 16) >> 4;

/** The same with a fifth bit from the u32 at `high`. */
const fiveBits = (view: DataView, high: number, at: number, e: number): number =>
  nibble(view, at, e) | ((view.getUint32(high, true) >>> e & 1) << 4);

/** A block of 32 from one function of the element. */
const block32 = (value: (view: DataView, at: number) => (e: number) => number): DecodeBlock => (view, at, out, to) => {
  const element = value(view, at);
  for (let e = 0; e < 32; e++) out[to + e] = element(e);
};

const bf16: DecodeBlock = (view, at, out, to) => {
  const word = new DataView(new ArrayBuffer(4));
  word.setUint32(0, view.getUint16(at, true) << 16);
  out[to] = word.getFloat32(0);
};

const q8_0 = block32((view, at) => {
  const d = half(view, at);
  return (e) => d * view.getInt8(at + 2 + e);
});

const q4_0 = block32((view, at) => {
  const d = half(view, at);
  return (e) => d * (nibble(view, at + 2, e) - 8);
});

const q4_1 = block32((view, at) => {
  const [d, m] = [half(view, at), half(view, at + 2)];
  return (e) => d * nibble(view, at + 4, e) + m;
});

const q5_0 = block32((view, at) => {
  const d = half(view, at);
  return (e) => d * (fiveBits(view, at + 2, at + 6, e) - 16);
});

const q5_1 = block32((view, at) => {
  const [d, m] = [half(view, at), half(view, at + 2)];
  return (e) => d * fiveBits(view, at + 4, at + 8, e) + m;
});

/** Six-bit scale and minimum of sub-block i, from the 12 bytes at `at`. */
function scaleAndMinimum(view: DataView, at: number, i: number): readonly [number, number] {
  if (i < 4) return [u8(view, at + i) & 63, u8(view, at + i + 4) & 63];
  const low = u8(view, at + i + 4);
  return [(low & 15) | (u8(view, at + i - 4) >> 6 << 4), (low >> 4) | (u8(view, at + i) >> 6 << 4)];
}

/** Q4_K and Q5_K: eight sub-blocks of 32; 2g takes the low nibbles of the 32 bytes from 32g, 2g + 1 the high ones. */
const superBlock = (fifthBits: boolean): DecodeBlock => (view, at, out, to) => {
  const [d, dMin] = [half(view, at), half(view, at + 2)];
  const quants = at + (fifthBits ? 48 : 16);
  for (let i = 0; i < 8; i++) {
    const [scale, minimum] = scaleAndMinimum(view, at + 4, i);
    for (let l = 0; l < 32; l++) {
      const low = u8(view, quants + 32 * (i >> 1) + l) >> (4 * (i & 1)) & 15;
      const high = fifthBits ? (u8(view, at + 16 + l) >> i & 1) << 4 : 0;
      out[to + 32 * i + l] = d * scale * (low | high) - dMin * minimum;
    }
  }
};

/** Q6_K: two halves of 128, each with four groups of 32 lanes. */
const q6K: DecodeBlock = (view, at, out, to) => {
  const d = half(view, at + 208);
  for (let e = 0; e < 256; e++) {
    const [h, g, l] = [e >> 7, e >> 5 & 3, e & 31];
    const low = u8(view, at + 64 * h + l + 32 * (g & 1)) >> (4 * (g >> 1)) & 15;
    const high = u8(view, at + 128 + 32 * h + l) >> (2 * g) & 3;
    out[to + e] = d * view.getInt8(at + 192 + 8 * h + 2 * g + (l >> 4)) * ((low | high << 4) - 32);
  }
};

const decoders: Readonly<Record<WeightType, DecodeBlock>> = {
  F32: (view, at, out, to) => {
    out[to] = view.getFloat32(at, true);
  },
  F16: (view, at, out, to) => {
    out[to] = half(view, at);
  },
  BF16: bf16,
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q4_K: superBlock(false),
  Q5_K: superBlock(true),
  Q6_K: q6K,
};

/** The first `count` numbers of `bytes`, f32 [count]. Whole blocks are read, and blocks that `bytes` does not hold in full
 * decode to nothing: the result is then shorter than `count`. Callers check sizes with `checkWeight` first.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * // One block of Q8_0: scale 0.5, then 32 signed bytes.
 * const block = new Uint8Array(34);
 * block.set([0x00, 0x38, 2, 0xff]);
 * assertEquals([...decodeBlocks("Q8_0", block, 3)], [1, -0.5, 0]);
 * ```
 */
export function decodeBlocks(type: WeightType, bytes: Uint8Array, count: number): Float32Array {
  const form = blockForms[type];
  const blocks = Math.min(Math.ceil(count / form.elements), Math.floor(bytes.length / form.bytes));
  const out = new Float32Array(blocks * form.elements);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decode = decoders[type];
  for (let b = 0; b < blocks; b++) decode(view, b * form.bytes, out, b * form.elements);
  return out.length > count ? out.subarray(0, count) : out;
}
