import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { type Life, place } from "./arena.ts";
import { alignment, rounded } from "./heap.ts";

const life = fc.record({ bytes: fc.integer({ min: 0, max: 4000 }), from: fc.nat(30), length: fc.nat(10) })
  .map(({ bytes, from, length }): Life => ({ bytes, from, to: from + length }));

Deno.test("arena: temporaries that live at the same time never overlap, and all lie inside", () => {
  fc.assert(
    fc.property(fc.array(life, { maxLength: 40 }), (lives) => {
      const { offsets, bytes } = place(lives);
      for (const [i, a] of lives.entries()) {
        const start = offsets[i] ?? -1;
        assertEquals(start % alignment, 0);
        assert(start + rounded(a.bytes) <= bytes || a.bytes === 0);
        for (const [j, b] of lives.slice(0, i).entries()) {
          const other = offsets[j] ?? -1;
          const together = a.from <= b.to && b.from <= a.to && a.bytes > 0 && b.bytes > 0;
          assert(!together || start + rounded(a.bytes) <= other || other + rounded(b.bytes) <= start);
        }
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("arena: a chain of temporaries, each used by two instructions, takes the two largest neighbours at most", () => {
  const lives = Array.from({ length: 50 }, (_, i): Life => ({ bytes: 640, from: i, to: i + 1 }));
  assertEquals(place(lives).bytes, 1280);
});

Deno.test("arena: what nothing uses takes no place", () => {
  assertEquals(place([{ bytes: 640, from: Infinity, to: -1 }]), { offsets: [0], bytes: 0 });
});
