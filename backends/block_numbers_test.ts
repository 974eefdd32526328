import { assertEquals } from "@std/assert";
import type { WeightType } from "./backend.ts";
import { blockForms, weightTypes } from "./blocks.ts";
import { decodeBlocks } from "./block_numbers.ts";

/** One block: IEEE halves and bytes at their offsets, zeros elsewhere. */
function block(type: WeightType, halves: Readonly<Record<number, number>>, bytes: Readonly<Record<number, number>>): Uint8Array {
  const out = new Uint8Array(blockForms[type].bytes);
  const view = new DataView(out.buffer);
  for (const [at, value] of Object.entries(halves)) view.setFloat16(Number(at), value, true);
  for (const [at, value] of Object.entries(bytes)) out[Number(at)] = value;
  return out;
}

const decode = (type: WeightType, bytes: Uint8Array): ReadonlyArray<number> => [...decodeBlocks(type, bytes, blockForms[type].elements)];

Deno.test("F32, F16 and BF16 are the numbers themselves, little-endian", () => {
  assertEquals(decode("F32", new Uint8Array([0, 0, 0x80, 0xBF])), [-1]);
  assertEquals(decode("F16", new Uint8Array([0x01, 0x00])), [2 ** -24]);
  assertEquals(decode("BF16", new Uint8Array([0x49, 0x40])), [3.140625]);
});

Deno.test("Q8_0 multiplies signed bytes by the scale", () => {
  const values = decode("Q8_0", block("Q8_0", { 0: -2 }, { 2: 127, 3: 0x80, 33: 1 }));
  assertEquals([values[0], values[1], values[2], values[31]], [-254, 256, -0, -2]);
});

Deno.test("four-bit types put element j in the low and element j + 16 in the high nibble of byte j", () => {
  const q40 = decode("Q4_0", block("Q4_0", { 0: 0.5 }, { 2: 0xF1, 17: 0x80 }));
  assertEquals([q40[0], q40[16], q40[15], q40[31], q40[1]], [-3.5, 3.5, -4, 0, -4]);
  const q41 = decode("Q4_1", block("Q4_1", { 0: 2, 2: -1 }, { 4: 0x3F, 19: 0x10 }));
  assertEquals([q41[0], q41[16], q41[15], q41[31]], [29, 5, -1, 1]);
});

Deno.test("five-bit types take bit e of the 32-bit word as the fifth bit of element e", () => {
  // Fifth bits of elements 0, 17 and 31.
  const high = { 0: 0x01, 1: 0x00, 2: 0x02, 3: 0x80 };
  const at = (offset: number): Readonly<Record<number, number>> =>
    Object.fromEntries(Object.entries(high).map(([i, byte]) => [offset + Number(i), byte]));
  const q50 = decode("Q5_0", block("Q5_0", { 0: 1 }, { ...at(2), 6: 0x05, 7: 0x70, 21: 0xF0 }));
  assertEquals([q50[0], q50[16], q50[17], q50[31], q50[1]], [5, -16, 7, 15, -16]);
  const q51 = decode("Q5_1", block("Q5_1", { 0: 1, 2: 100 }, { ...at(4), 8: 0x05, 9: 0x70, 23: 0xF0 }));
  assertEquals([q51[0], q51[16], q51[17], q51[31], q51[1]], [121, 100, 123, 131, 100]);
});

Deno.test("Q4_K unpacks six-bit scales and minima of eight sub-blocks", () => {
  // Sub-block 0: scale 1, minimum 2. Sub-block 5: low bits of both in byte 9 (0x31: scale 1, minimum 3), upper two bits
  // from the top of bytes 1 (scale: 2 << 4) and 5 (minimum: 3 << 4): scale 33, minimum 51.
  const scales = { 4: 0x41, 8: 0x82, 12: 0x23, 13: 0x31, 5: 0x80, 9: 0xC0 };
  const values = decode("Q4_K", block("Q4_K", { 0: 2, 2: 0.5 }, { ...scales, 16: 0x0F, [16 + 64]: 0xE5 }));
  assertEquals(values[0], 2 * 1 * 15 - 0.5 * 2);
  assertEquals(values[1], -0.5 * 2);
  assertEquals(values[5 * 32], 2 * 33 * 14 - 0.5 * 51);
  // Sub-block 4 shares the 32 bytes of sub-block 5, low nibbles. Byte 12 gives scale 3 and minimum 2, the tops of bytes 4 and 8
  // add 1 << 4 and 2 << 4.
  assertEquals(values[4 * 32], 2 * 19 * 5 - 0.5 * 34);
});

Deno.test("Q5_K adds sixteen where bit i of the lane's byte is set for sub-block i", () => {
  const values = decode("Q5_K", block("Q5_K", { 0: 1, 2: 0 }, { 4: 1, 5: 1, 16: 0b10, 17: 0b01, 48: 0x21, 49: 0x43 }));
  assertEquals([values[0], values[1], values[32], values[33]], [1, 19, 18, 4]);
});

Deno.test("Q6_K joins four low and two high bits and takes one signed scale per sixteen", () => {
  // Element 0: low 5, high 2 → 37 - 32 = 5, scale 3. Element 96 (group 3, lane 0): low nibble high of byte 32, high bits 6-7.
  // Element 128 + 16 (half 1, group 0, lane 16): scale index 8 + 1.
  const scales = { 192: 3, [192 + 6]: 0xFF, [192 + 9]: 2 };
  const values = decode("Q6_K", block("Q6_K", { 208: 0.5 }, { 0: 0x05, 32: 0xA0, 128: 0b01_00_00_10, ...scales, [64 + 16]: 0x07 }));
  assertEquals(values[0], 0.5 * 3 * 5);
  assertEquals(values[96], 0.5 * -1 * ((10 | 1 << 4) - 32));
  assertEquals(values[144], 0.5 * 2 * (7 - 32));
});

Deno.test("blocks follow one another, and a partial block or too few bytes give fewer numbers, never wrong ones", () => {
  for (const type of weightTypes) {
    const { elements, bytes } = blockForms[type];
    const two = new Uint8Array(2 * bytes);
    assertEquals(decodeBlocks(type, two, 2 * elements).length, 2 * elements);
    assertEquals(decodeBlocks(type, two.subarray(0, 2 * bytes - 1), 2 * elements).length, elements);
    assertEquals(decodeBlocks(type, two, elements + 1).length, elements + 1);
  }
  const second = new Uint8Array(68);
  second.set([0x00, 0x3C, 7], 34);
  assertEquals(decodeBlocks("Q8_0", second, 64)[32], 7);
});
