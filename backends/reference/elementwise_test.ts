import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { MapFn } from "../ops.ts";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { glu, map, rope } from "./elementwise.ts";

Deno.test("rope turns pair (i, i + dims/2) and leaves the channels behind dims alone", () => {
  // A quarter turn of pair (0, 2) and none of pair (1, 3): (1, 2, 3, 4, 5) becomes (-3, 2, 1, 4, 5).
  const x = f32(1, 2, 3, 4, 5);
  rope({ m: 1, heads: 1, dim: 5, dims: 4 }, operandsOf({ x, table: f32(0, 1, 1, 0) }));
  assertEquals([...x], [-3, 2, 1, 4, 5]);
});

Deno.test("rope gives every head of a token the same angles and every token its own", () => {
  const x = f32(1, 0, 1, 0, 1, 0, 1, 0);
  rope({ m: 2, heads: 2, dim: 2, dims: 2 }, operandsOf({ x, table: f32(0, 1, 0.6, 0.8) }));
  assertEquals([...x], [...f32(0, 1, 0, 1, 0.6, 0.8, 0.6, 0.8)]);
});

Deno.test("glu: silu(0) = 0, silu(1) = 0.7310586, silu far below 0 is 0 and not NaN", () => {
  const out = blank(4);
  glu({ count: 4, activation: "silu" }, operandsOf({ gate: f32(0, 1, -1000, 100), up: f32(5, 2, 3, 0.5), out }));
  assertAlmostEquals(out[1] ?? NaN, 2 * 0.7310585786, 1e-7);
  assertEquals([out[0], Math.abs(out[2] ?? NaN), out[3]], [0, 0, 50]);
});

Deno.test("glu: the tanh form of gelu(1) is 0.8411920, the exact form would be 0.8413447", () => {
  const out = blank(1);
  glu({ count: 1, activation: "gelu" }, operandsOf({ gate: f32(1), up: f32(1), out }));
  assertAlmostEquals(out[0] ?? NaN, 0.841192, 1e-6);
});

Deno.test("glu: gelu(-6) keeps its digits, -8.4396467e-11, where 1 + tanh would be a multiple of 2^-53", () => {
  const out = blank(1);
  glu({ count: 1, activation: "gelu" }, operandsOf({ gate: f32(-6), up: f32(1), out }));
  assertAlmostEquals((out[0] ?? NaN) * 1e11, -8.439646700762297, 1e-6);
});

Deno.test("map: every function by hand, on a = -4 and b = 0.5 with value 3", () => {
  const expected: Readonly<Record<MapFn, number>> = {
    add: -3.5,
    sub: -4.5,
    mul: -2,
    div: -8,
    max: 0.5,
    min: -4,
    neg: 4,
    abs: 4,
    exp: Math.fround(Math.exp(-4)),
    log: Math.fround(Math.log(1e-30)),
    sqrt: 0,
    scale: -12,
    shift: -1,
    fill: 3,
    copy: -4,
    gelu: Math.fround(-4 * 3.167124183311986e-5),
  };
  for (const [fn, value] of Object.entries(expected)) {
    const out = blank(1);
    map({ fn: fn as MapFn, count: 1, value: 3, heads: 0 }, operandsOf({ a: f32(-4), b: f32(0.5), out }));
    assertEquals([fn, out[0]], [fn, value]);
  }
});

Deno.test("map over a column touches rows and no slack, whatever slack holds", () => {
  const out = f32(7, 7, 7, 7, 7, 7);
  const layout = u32(1, 2, 3, 4, 1, 2);
  map({ fn: "scale", count: 6, value: 2, heads: 2 }, operandsOf({ a: f32(NaN, 1, 2, NaN, 3, NaN), layout, out }));
  assertEquals([...out], [7, 2, 4, 7, 6, 7]);
});

Deno.test("map: gelu is the exact form, x Phi(x), from the series into the continued fraction and out to where Phi is 0 or 1", () => {
  // Phi of 1, -2.9, 3.1 and 0.5 from a table of the normal distribution to ten digits.
  const expected = [
    [0, 0],
    [1, 0.8413447461],
    [-2.9, -2.9 * 0.0018658133],
    [3.1, 3.1 * 0.9990323968],
    [0.5, 0.5 * 0.6914624613],
    [50, 50],
    [-50, -0],
  ];
  const out = blank(expected.length);
  map({ fn: "gelu", count: expected.length, value: 0, heads: 0 }, operandsOf({ a: f32(...expected.map(([x = 0]) => x)), out }));
  for (const [i, [, y = NaN]] of expected.entries()) assertAlmostEquals(out[i] ?? NaN, y, 4e-7 * Math.abs(y));
  map({ fn: "gelu", count: 1, value: 0, heads: 0 }, operandsOf({ a: f32(NaN), out }));
  assertEquals(out[0], NaN);
});
