import { assertEquals } from "@std/assert";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { append, compact, copyRows, extend, rejoin, slice, slide, truncate } from "./rows.ts";

Deno.test("append puts row i of head h behind that head's rows and lengthens it", () => {
  // Two heads: slots 1.. holding one row, slots 4.. holding none; two new tokens.
  const layout = u32(1, 1, 3, 4, 0, 2);
  const [keys, values, position] = [blank(12), blank(6), u32(9, 9, 9, 9, 9, 9)];
  append(
    { m: 2, heads: 2, keyDim: 2, valueDim: 1, keyCodec: "f32", valueCodec: "f32" },
    operandsOf({ k: f32(1, 2, 3, 4, 5, 6, 7, 8), v: f32(10, 20, 30, 40), positions: u32(70, 71), keys, values, position, layout }),
  );
  assertEquals([...layout], [1, 3, 3, 4, 2, 2]);
  assertEquals([...keys], [NaN, NaN, NaN, NaN, 1, 2, 5, 6, 3, 4, 7, 8]);
  assertEquals([...values], [NaN, NaN, 10, 30, 20, 40]);
  assertEquals([...position], [9, 9, 70, 71, 70, 71]);
});

Deno.test("append to f16 rounds to nearest, ties to even", () => {
  const keys = new Float16Array(4);
  const layout = u32(0, 0, 1);
  append(
    { m: 1, heads: 1, keyDim: 4, valueDim: 0, keyCodec: "f16", valueCodec: "f32" },
    operandsOf({
      k: f32(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65520, 2 ** -25),
      v: f32(),
      positions: u32(0),
      keys,
      values: f32(),
      position: u32(0),
      layout,
    }),
  );
  assertEquals([...keys], [1, 1 + 2 ** -9, Infinity, 0]);
});

Deno.test("extend sets the last m rows of each head", () => {
  const column = f32(1, 2, 3, 4, 5, 6);
  extend({ m: 2, heads: 2, value: 0.5 }, operandsOf({ column, layout: u32(0, 3, 3, 4, 2, 2) }));
  assertEquals([...column], [1, 0.5, 0.5, 4, 0.5, 0.5]);
});

Deno.test("compact gathers kept rows in place, bits unchanged, and leaves what it does not write", () => {
  const rows = u32(10, 11, 12, 13, 0x7FC0BEEF, 15);
  const layout = u32(0, 4, 4, 4, 2, 2);
  compact(
    { heads: 2, rowBytes: 4 },
    operandsOf({
      source: rows,
      target: rows,
      keep: u32(1, 3, 99, 99, 0, 99),
      counts: u32(2, 1),
      sourceLayout: layout,
      targetLayout: layout,
    }),
  );
  assertEquals([...rows], [11, 13, 12, 13, 0x7FC0BEEF, 15]);
});

Deno.test("compact moves rows of any width to another layout", () => {
  const source = Uint8Array.from({ length: 12 }, (_, i) => i);
  const target = new Uint8Array(9).fill(255);
  compact(
    { heads: 1, rowBytes: 3 },
    operandsOf({ source, target, keep: u32(0, 1, 2), counts: u32(2), sourceLayout: u32(1, 3, 3), targetLayout: u32(1, 0, 2) }),
  );
  assertEquals([...target], [255, 255, 255, 6, 7, 8, 9, 10, 11]);
});

Deno.test("truncate changes lengths and nothing else", () => {
  const layout = u32(0, 4, 4, 4, 2, 2);
  truncate({ heads: 2 }, operandsOf({ counts: u32(3, 0), layout }));
  assertEquals([...layout], [0, 3, 4, 4, 0, 2]);
});

Deno.test("copyRows takes lengths from the source and places from the target", () => {
  const target = u32(0, 0, 0, 0, 0);
  copyRows(
    { heads: 2, rowBytes: 4 },
    operandsOf({ source: u32(1, 2, 3, 4), target, sourceLayout: u32(0, 1, 2, 2, 2, 2), targetLayout: u32(4, 0, 1, 1, 0, 2) }),
  );
  assertEquals([...target], [0, 3, 4, 0, 1]);
});

Deno.test("slide keeps the last rows of ring and input, whichever is longer", () => {
  const ring = (m: number, ...x: ReadonlyArray<number>): ReadonlyArray<number> => {
    const held = u32(1, 2, 3, 4, 5, 6);
    slide({ m, window: 3, width: 2 }, operandsOf({ x: u32(...x), ring: held }));
    return [...held];
  };
  assertEquals(ring(0), [1, 2, 3, 4, 5, 6]);
  assertEquals(ring(1, 7, 8), [3, 4, 5, 6, 7, 8]);
  assertEquals(ring(4, 7, 8, 9, 10, 11, 12, 13, 14), [9, 10, 11, 12, 13, 14]);
});

Deno.test("slice copies bits", () => {
  const out = u32(0, 0);
  slice({ from: 1, rows: 1, width: 2 }, operandsOf({ x: u32(1, 2, 0xFFC5FFC5, 4, 5, 6), out }));
  assertEquals([...out], [0xFFC5FFC5, 4]);
});

Deno.test("rejoin: what lies before the tail, and its count", () => {
  const layout = u32(2, 5, 6, 8, 3, 3);
  rejoin({ heads: 2 }, operandsOf({ counts: u32(1, 0), tail: u32(4, 3, 4, 11, 0, 0), layout }));
  assertEquals([...layout], [2, 3, 6, 8, 3, 3]);
});
