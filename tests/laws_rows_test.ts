/** Laws of ops that move rows, on the reference; conformance carries them over to the other backends. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { append, compact, copyRows, slide } from "../backends/reference/rows.ts";
import { layoutOf, layoutWords, positionsOf, rowsOf } from "../conformance/layouts.ts";
import { randomOf } from "../conformance/random.ts";
import { blankWords, operandsOf, u32 } from "./kernel_operands.ts";

const runs = { numRuns: 200 };
const [heads, dim] = [2, 4];

const seeds = fc.integer({ min: 0, max: 2 ** 30 }).map((seed) => randomOf("laws", seed));
const twoLengths = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 12 }));

Deno.test("appending in any chunks gives the bytes of appending at once, and older rows keep theirs", () => {
  fc.assert(
    fc.property(seeds, twoLengths, fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }), (random, lengths, chunks) => {
      const total = chunks.reduce((a, b) => a + b, 0);
      const layout = layoutOf(random, lengths, total);
      const before = {
        keys: rowsOf(random, layout, dim, "f16"),
        values: rowsOf(random, layout, dim, "f32"),
        position: positionsOf(random, layout),
      };
      const fresh = {
        k: random.normals(total * heads * dim),
        v: random.normals(total * heads * dim),
        positions: u32(...Array(total).keys()),
      };
      const add = (sizes: ReadonlyArray<number>) => {
        const held = {
          keys: before.keys.slice(),
          values: before.values.slice(),
          position: before.position.slice(),
          layout: layoutWords(layout),
        };
        let from = 0;
        for (const m of sizes) {
          const part = (a: Float32Array): Float32Array => a.slice(from * heads * dim, (from + m) * heads * dim);
          append(
            { m, heads, keyDim: dim, valueDim: dim, keyCodec: "f16", valueCodec: "f32" },
            operandsOf({ ...held, k: part(fresh.k), v: part(fresh.v), positions: fresh.positions.slice(from, from + m) }),
          );
          from += m;
        }
        return held;
      };
      const chunked = add(chunks);
      assertEquals(chunked, add([total]));
      for (const [h, { start, length }] of layout.segments.entries()) {
        assertEquals(chunked.keys.slice(start * dim, (start + length) * dim), before.keys.slice(start * dim, (start + length) * dim));
        const appended = Array.from({ length: total }, (_, i) => [...fresh.k.subarray((i * heads + h) * dim, (i * heads + h + 1) * dim)]);
        assertEquals(chunked.keys.slice((start + length) * dim, (start + length + total) * dim), new Float16Array(appended.flat()));
      }
    }),
    runs,
  );
});

Deno.test("compaction keeps the bits of every row it keeps, whatever they are", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 0xFFFFFFFFn }).map(Number), fc.boolean()), { maxLength: 40 }), (rows) => {
      const source = u32(...rows.map(([bits]) => bits));
      const kept = rows.flatMap(([, stays], i) => stays ? [i] : []);
      const keep = blankWords(rows.length);
      keep.set(kept);
      const layout = u32(0, rows.length, rows.length);
      compact(
        { heads: 1, rowBytes: 4 },
        operandsOf({ source, target: source, keep, counts: u32(kept.length), sourceLayout: layout, targetLayout: layout }),
      );
      assertEquals([...source.subarray(0, kept.length)], rows.filter(([, stays]) => stays).map(([bits]) => bits));
    }),
    runs,
  );
});

Deno.test("copying rows to another layout and back is the identity", () => {
  fc.assert(
    fc.property(seeds, twoLengths, (random, lengths) => {
      const [here, there] = [layoutOf(random, lengths, 1), layoutOf(random, lengths, 3)];
      const rows = rowsOf(random, here, dim, "f32");
      const [away, back] = [new Float32Array(there.slots * dim), rows.slice()];
      const params = { heads, rowBytes: dim * 4 };
      copyRows(params, operandsOf({ source: rows, target: away, sourceLayout: layoutWords(here), targetLayout: layoutWords(there) }));
      copyRows(params, operandsOf({ source: away, target: back, sourceLayout: layoutWords(there), targetLayout: layoutWords(here) }));
      assertEquals(new Uint32Array(back.buffer), new Uint32Array(rows.buffer));
    }),
    runs,
  );
});

Deno.test("a sliding ring holds the last rows of everything that came, in any chunks", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 6 }),
      (window, width, chunks) => {
        const ring = new Uint32Array(window * width);
        const all = [...ring];
        for (const m of chunks) {
          const x = Uint32Array.from({ length: m * width }, (_, i) => all.length + i);
          slide({ m, window, width }, operandsOf({ x, ring }));
          all.push(...x);
        }
        assertEquals([...ring], all.slice(-window * width));
      },
    ),
    runs,
  );
});
