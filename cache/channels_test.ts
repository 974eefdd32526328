import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { channelBytes, keptChannels, readChannels, writeChannels } from "./channels.ts";

const percents = [90, 80, 70, 60, 50, 40, 30, 20, 10];

Deno.test("a row by hand: half of four channels, the largest by magnitude, of equal ones the lowest", () => {
  const bytes = writeChannels(50, Float32Array.of(1, -3, 0.5, 2, -1, 1, 1, 0), 4);
  // Masks 1010 and 0011, lowest channel first, each in a word; then -3 and 2, and -1 and 1, as halves.
  assertEquals([...bytes], [0b1010, 0, 0, 0, 0x00, 0xC2, 0x00, 0x40, 0b0011, 0, 0, 0, 0x00, 0xBC, 0x00, 0x3C]);
  assertEquals([...readChannels(50, bytes, 4)], [0, -3, 0, 2, -1, 1, 0, 0]);
});

Deno.test("NaN is larger than any number, and infinity than any finite one", () => {
  const row = Float32Array.of(NaN, 70000, Infinity, 3);
  assertEquals([...readChannels(50, writeChannels(50, row, 4), 4)], [NaN, 0, Infinity, 0]);
});

Deno.test("bytes are a bit per channel in whole words and two bytes per kept channel, which are an even number of at least the share", () => {
  assertEquals([channelBytes(64, 60), channelBytes(128, 50), channelBytes(80, 10)], [8 + 80, 16 + 128, 12 + 16]);
  for (const dim of [2, 6, 64, 80, 100, 128, 1024]) {
    for (const percent of percents) {
      const kept = keptChannels(dim, percent);
      assert(kept % 2 === 0 && kept >= dim * percent / 100 && kept < dim * percent / 100 + 2 && kept <= dim, `${dim} ${percent}`);
    }
  }
});

const rows = fc.tuple(fc.constantFrom(6, 64, 80), fc.constantFrom(...percents), fc.integer({ min: 0, max: 4 })).chain(([dim, percent, n]) =>
  fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: n * dim, maxLength: n * dim }).map((x) => ({
    dim,
    percent,
    x: Float32Array.from(x),
  }))
);

Deno.test("what is kept is kept as a half, nothing that is left out is larger, and coding what was decoded changes nothing", () => {
  fc.assert(fc.property(rows, ({ dim, percent, x }) => {
    const decoded = readChannels(percent, writeChannels(percent, x, dim), dim);
    for (let r = 0; r * dim < x.length; r++) {
      const [own, back] = [x.subarray(r * dim, (r + 1) * dim), decoded.subarray(r * dim, (r + 1) * dim)];
      const left = [...own].filter((v, c) => back[c] === 0 && Math.f16round(v) !== 0).map(Math.abs);
      const kept = [...own].filter((_, c) => back[c] !== 0).map(Math.abs);
      assert(Math.max(0, ...left) <= Math.min(Infinity, ...kept), `${left} ${kept}`);
      back.forEach((v, c) => assert(v === 0 || v === Math.f16round(own[c] ?? 0)));
      assert(kept.length <= keptChannels(dim, percent));
    }
    // Of zeros, which tie, one may have been negative.
    const unsigned = (numbers: Float32Array) => numbers.map((v) => v + 0);
    assertEquals(unsigned(readChannels(percent, writeChannels(percent, decoded, dim), dim)), unsigned(decoded));
  }));
});

Deno.test("a row that names more channels than it stores is read up to its end", () => {
  const bytes = writeChannels(50, Float32Array.of(1, -3, 0.5, 2), 4);
  bytes[0] = 0b1111;
  assertEquals([...readChannels(50, bytes, 4)], [-3, 2, 0, 0]);
});
