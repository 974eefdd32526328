import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { inflateRawSync } from "node:zlib";
import { inflate } from "./entropy.ts";
import { huffman } from "./huffman.ts";
import { codesOf, lengthsOf } from "./huffman_code.ts";

const kraft = (lengths: Uint8Array): number => lengths.reduce((sum, length) => length === 0 ? sum : sum + 2 ** -length, 0);

Deno.test("the example of RFC 1951, section 3.2.2: codes of ABCDEFGH of the lengths 3, 3, 3, 3, 3, 2, 4, 4, first bits lowest", () => {
  const backwards = (code: string): number => parseInt([...code].reverse().join(""), 2);
  const codes = ["010", "011", "100", "101", "110", "00", "1110", "1111"].map(backwards);
  assertEquals([...codesOf(Uint8Array.of(3, 3, 3, 3, 3, 2, 4, 4))], codes);
});

Deno.test("lengths are those of an optimal tree, and where they would be too long, codes of all symbols still fill the tree", () => {
  // Counts that grow like Fibonacci's numbers make the deepest tree there is: lengths 1, 2, 3, ...
  const counts = [1, 1];
  while (counts.length < 24) counts.push((counts.at(-1) ?? 0) + (counts.at(-2) ?? 0));
  const deep = lengthsOf(Uint32Array.from(counts), 30);
  assertEquals([...deep], [23, ...Array.from({ length: 23 }, (_, i) => 23 - i)]);
  for (const longest of [5, 7, 12, 15, 22]) {
    const lengths = lengthsOf(Uint32Array.from(counts), longest);
    assert(lengths.every((length) => length > 0 && length <= longest));
    assertEquals(kraft(lengths), 1);
    assert(
      counts.every((n, i) => counts.every((m, j) => n >= m || (lengths[i] ?? 0) >= (lengths[j] ?? 0))),
      "rarer symbols have longer codes",
    );
  }
});

/** Bytes of several kinds: even, rare and frequent, one alone, halves that hardly differ. */
const kinds: Readonly<Record<string, (i: number, random: number) => number>> = {
  even: (_, random) => Math.floor(256 * random),
  steep: (_, random) => Math.floor(256 * random ** 9),
  constant: () => 7,
  deep: (_, random) => Math.min(255, Math.floor(-Math.log2(random) * 1.5)),
  changing: (i, random) => Math.floor(i / 9000) * 40 + Math.floor(30 * random) & 255,
};

Deno.test("what is packed comes back by any inflater, at lengths around chunks and blocks, and random bytes grow by a hundredth at most", async () => {
  let state = 1;
  const random = (): number => (state = state * 48271 % 2147483647) / 2147483647;
  for (const [kind, byte] of Object.entries(kinds)) {
    for (const length of [1, 2, 255, 4095, 4096, 4097, 40_000, 65_536, 200_001]) {
      const bytes = Uint8Array.from({ length }, (_, i) => byte(i, random()));
      const packed = huffman(bytes);
      assertEquals(await inflate("a", kind, packed, length), { _tag: "Right", right: bytes });
      assertEquals(new Uint8Array(inflateRawSync(packed)), bytes);
      assert(packed.length <= length * 1.01 + 300, `${length} ${kind} bytes became ${packed.length}`);
      if (length > 40_000) assert(kind === "even" || packed.length < 0.9 * length, `${length} ${kind} bytes became ${packed.length}`);
    }
  }
  assertEquals(huffman(new Uint8Array()), new Uint8Array());
});

Deno.test("any bytes come back", () =>
  fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
      assertEquals(await inflate("a", "bytes", huffman(bytes), bytes.length), { _tag: "Right", right: Uint8Array.from(bytes) });
    }),
    { numRuns: 50 },
  ));
