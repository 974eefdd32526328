import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { coarseCode, coarsen } from "./coarsen.ts";
import { blockRows, codecFault, codecName, codecOf, readCodes, rowBytes, rowCodecs } from "./codec.ts";
import { decodeRows, encodeRows } from "./encode.ts";
import type { Codec } from "./types.ts";

const affine = (name: string): Extract<Codec, { readonly _tag: "Affine" }> => {
  const codec = codecOf(rowCodecs.find((known) => known === name) ?? "q8");
  return codec._tag === "Affine" ? codec : { _tag: "Affine", bits: 8, axis: "token", group: null };
};

const coded = rowCodecs.filter((name) => codecOf(name)._tag === "Affine");

Deno.test("every name is that of its codec", () => {
  assertEquals(rowCodecs.map((name) => codecName(codecOf(name))), [...rowCodecs]);
});

Deno.test("KIVI's worked group: offset -1, scale 2, ties to even, codes packed lowest first", () => {
  const row = Float32Array.of(0, 1, 2, 3, -1, 5, 0.5, 2.5, ...new Array<number>(8).fill(0));
  const bytes = encodeRows(codecOf("q2"), row, 16);
  assertEquals(rowBytes(codecOf("q2"), 16), 8);
  assertEquals(new DataView(bytes.buffer).getUint16(4, true), 0x9CA4);
  assertEquals([...readCodes(affine("q2"), 16, bytes)[0]?.codes ?? []].slice(0, 8), [0, 1, 2, 2, 0, 3, 1, 2]);
  assertEquals([...decodeRows(codecOf("q2"), bytes, 16)].slice(0, 8), [-1, 1, 3, 3, -1, 5, 1, 3]);
});

Deno.test("bits per element are those of the papers: KIVI 3.0 and 5.0, DiffKV K8V4 6.25 and K4V2 3.25 before position and score", () => {
  const bits = (keys: typeof rowCodecs[number], values: typeof rowCodecs[number], dim: number): number =>
    8 * (rowBytes(codecOf(keys), dim) + rowBytes(codecOf(values), dim)) / (2 * dim);
  assertEquals([bits("q2c32", "q2g32", 128), bits("q4c32", "q4g32", 64)], [3, 5]);
  // With 8 bytes of position and score a token, as DiffKV counts them: 208 and 112 bytes of 512.
  assertEquals([bits("q8", "q4", 128) * 32 + 8, bits("q4", "q2", 128) * 32 + 8], [208, 112]);
});

Deno.test("a decoded number is within half a step of its own, and the least one of a group within the rounding of a half", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...coded),
      fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 32 * 64, maxLength: 32 * 64 }),
      (name, numbers) => {
        const [codec, x] = [affine(name), Float32Array.from(numbers)];
        const decoded = decodeRows(codec, encodeRows(codec, x, 64), 64);
        // The range of all numbers bounds that of each group; a half holds eleven bits of scale and offset.
        const range = Math.max(...x) - Math.min(...x);
        const step = range / (2 ** codec.bits - 1);
        decoded.forEach((y, i) => assert(Math.abs(y - (x[i] ?? 0)) <= step / 2 + (range + 100) / 1024, `${name} ${i}`));
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a constant group decodes to its number as a half, whatever its size", () => {
  for (const name of coded) {
    for (const value of [0, 0.1, -3.25, 65504, 1e9]) {
      const codec = codecOf(name);
      const decoded = decodeRows(codec, encodeRows(codec, new Float32Array(32 * 64).fill(value), 64), 64);
      assertEquals(new Set(decoded), new Set([Math.f16round(Math.min(65504, value))]), `${name} ${value}`);
    }
  }
});

Deno.test("per channel a large channel does not disturb the others; per token it does", () => {
  const x = Float32Array.from({ length: 32 * 64 }, (_, i) => Math.sin(i) * (i % 64 === 5 ? 100 : 1));
  const worst = (name: "q2c32" | "q2"): number => {
    const decoded = decodeRows(codecOf(name), encodeRows(codecOf(name), x, 64), 64);
    return decoded.reduce((most, y, i) => i % 64 === 5 ? most : Math.max(most, Math.abs(y - (x[i] ?? 0))), 0);
  };
  assert(worst("q2c32") < 0.4);
  assert(worst("q2") > 0.9);
});

Deno.test("coarse codes are the rounding of fine ones: 8 to 4, 4 to 2 and 8 to 2 bits", () => {
  const all = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i);
  assertEquals(all(256).map(coarseCode(8, 4)), all(256).map((q) => Math.floor(q * 15 / 255 + 0.5)));
  assertEquals(all(256).map(coarseCode(8, 2)), all(256).map((q) => Math.floor(q * 3 / 255 + 0.5)));
  assertEquals(all(16).map(coarseCode(4, 2)), [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3]);
});

Deno.test("a coarsened row has the codes that encoding the numbers has, where halves hold scale and offset exactly", () => {
  const x = Float32Array.from({ length: 64 }, (_, i) => i === 0 ? 0 : i === 1 ? 255 : (i * 37) % 256);
  const fine = encodeRows(codecOf("q8"), x, 64);
  assertEquals(coarsen(affine("q8"), codecOf("q4"), fine, 64), encodeRows(codecOf("q4"), x, 64));
});

Deno.test("rows that fill no whole word, or no whole group, are refused with what is allowed", () => {
  assertEquals(codecFault(codecOf("q2"), 8), "a number of channels that fills whole words of 32 bits, a multiple of 16");
  assertEquals(codecFault(codecOf("q4g64"), 96), "a multiple of the group of 64 channels");
  assertEquals([codecFault(codecOf("q4c32"), 96), codecFault(codecOf("f16"), 7)], [null, null]);
  assertEquals(rowCodecs.map((name) => blockRows(codecOf(name))).filter((rows) => rows > 1), [32, 32, 32]);
});
