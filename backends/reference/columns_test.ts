import { assertAlmostEquals, assertEquals } from "@std/assert";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { headMean, meanUnit, perToken, pool, positions, projectedNorm, reduce, similarity } from "./columns.ts";

Deno.test("reduce: every fold of the row (3, -4)", () => {
  const folded = (by: "l1" | "l2" | "sum" | "mean" | "max"): number | undefined => {
    const out = blank(2);
    reduce({ heads: 1, dim: 2, codec: "f32", by }, operandsOf({ rows: f32(9, 9, 3, -4), layout: u32(1, 1, 1), out }));
    assertEquals(out[0], NaN);
    return out[1];
  };
  assertEquals([folded("l1"), folded("l2"), folded("sum"), folded("mean"), folded("max")], [7, 5, -1, -0.5, 3]);
});

Deno.test("reduce reads f16 rows exactly", () => {
  const out = blank(1);
  reduce(
    { heads: 1, dim: 2, codec: "f16", by: "sum" },
    operandsOf({ rows: new Float16Array([2 ** -24, 1024]), layout: u32(0, 1, 1), out }),
  );
  assertEquals(out[0], Math.fround(1024 + 2 ** -24));
});

Deno.test("meanUnit averages directions: a zero row adds none but counts, and an empty head gives zeros", () => {
  const out = blank(4);
  const rows = f32(3, 4, 0, 0, 0, 2, 8, 6);
  meanUnit({ heads: 2, dim: 2, codec: "f32" }, operandsOf({ rows, layout: u32(0, 4, 4, 4, 0, 0), out }));
  // (0.6, 0.8) + (0, 0) + (0, 1) + (0.8, 0.6), over 4.
  assertAlmostEquals(out[0] ?? NaN, 0.35, 1e-7);
  assertAlmostEquals(out[1] ?? NaN, 0.6, 1e-7);
  assertEquals([...out.subarray(2)], [0, 0]);
});

Deno.test("similarity is the cosine with the own head's anchor, 0 where either has no direction", () => {
  const out = blank(4);
  similarity(
    { heads: 2, dim: 2, codec: "f32" },
    operandsOf({ rows: f32(3, 4, -6, -8, 0, 0, 1, 1), anchor: f32(30, 40, 0, 0), layout: u32(0, 3, 3, 3, 1, 1), out }),
  );
  assertEquals([...out], [1, -1, 0, 0]);
});

Deno.test("positions are numbers in rows and nothing in slack", () => {
  const out = blank(3);
  positions({ heads: 1 }, operandsOf({ position: u32(5, 16777215, 9), layout: u32(1, 1, 2), out }));
  assertEquals([...out], [NaN, 16777215, NaN]);
});

Deno.test("pool: votes (.1, 0, .4, 0, 0, .2) by max and mean of 3, as SnapKV pools them", () => {
  const votes = f32(0.1, 0, 0.4, 0, 0, 0.2);
  const pooled = (by: "max" | "mean"): ReadonlyArray<number> => {
    const out = blank(6);
    pool({ heads: 1, by, size: 3, dropLast: 0 }, operandsOf({ a: votes, layout: u32(0, 6, 6), out }));
    return [...out].map((x) => Math.round(x * 1e4) / 1e4);
  };
  assertEquals(pooled("max"), [0.1, 0.4, 0.4, 0.4, 0.2, 0.2]);
  assertEquals(pooled("mean"), [0.0333, 0.1667, 0.1333, 0.1333, 0.0667, 0.0667]);
});

Deno.test("pool: the last rows neither take part nor change, and heads do not see each other", () => {
  const out = blank(7);
  pool({ heads: 2, by: "max", size: 3, dropLast: 2 }, operandsOf({ a: f32(1, 2, 9, 8, 50, 60, 70), layout: u32(0, 4, 4, 4, 3, 3), out }));
  assertEquals([...out], [2, 2, 9, 8, 50, 60, 70]);
  pool({ heads: 1, by: "max", size: 5, dropLast: 9 }, operandsOf({ a: f32(1, 2), layout: u32(0, 2, 2), out }));
  assertEquals([...out.subarray(0, 2)], [1, 2]);
});

Deno.test("pool by max of negative numbers does not find a zero outside the segment", () => {
  const out = blank(2);
  pool({ heads: 1, by: "max", size: 7, dropLast: 0 }, operandsOf({ a: f32(-3, -2), layout: u32(0, 2, 2), out }));
  assertEquals([...out], [-2, -2]);
});

Deno.test("headMean averages over the heads that reach an index", () => {
  const out = blank(6);
  headMean({ heads: 3 }, operandsOf({ a: f32(1, 2, 3, 5, 6, NaN), layout: u32(0, 3, 3, 3, 2, 3, 5, 0, 1), out }));
  assertEquals([...out], [3, 4, 3, 3, 4, NaN]);
});

Deno.test("perToken: rows of the last m positions take their token's number, also where some of them have gone", () => {
  // Three tokens at positions 7, 8, 9; head 0 holds 6, 7, 9, head 1 holds 8.
  const column = f32(1, 2, 3, 4, 5);
  perToken(
    { m: 3, heads: 2 },
    operandsOf({ x: f32(70, 71, 80, 81, 90, 91), position: u32(6, 7, 9, 0, 8), layout: u32(0, 3, 4, 4, 1, 1), newest: u32(9), column }),
  );
  assertEquals([...column], [1, 70, 90, 4, 81]);
});

Deno.test("projectedNorm: two query heads write (3, 4) with norms 10 and 4, and rounding below 0 is 0", () => {
  const out = blank(4);
  // W_0 = 2, W_1 = the second channel alone: squares 4 (9 + 16) = 100 and 16. The second row is (0, 0).
  const gram = f32(4, 0, 0, 4, 0, 0, 0, 1);
  projectedNorm(
    { heads: 2, kvHeads: 1, dim: 2, codec: "f32" },
    operandsOf({ rows: f32(3, 4, 0, 0), gram, layout: u32(0, 2, 2), out }),
  );
  assertEquals([...out], [10, 4, 0, 0]);
  projectedNorm({ heads: 1, kvHeads: 1, dim: 1, codec: "f32" }, operandsOf({ rows: f32(1), gram: f32(-1e-9), layout: u32(0, 1, 1), out }));
  assertEquals(out[0], 0);
});
