import { assertAlmostEquals, assertEquals } from "@std/assert";
import { blank, blankWords, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { argmax, embed, matmul, norm } from "./dense.ts";

Deno.test("embed picks rows by id and scales them", () => {
  const out = blank(4);
  embed({ m: 2, dim: 2, scale: 3 }, operandsOf({ table: f32(1, 2, 3, 4, 5, 6), ids: u32(2, 0), out }));
  assertEquals([...out], [15, 18, 3, 6]);
});

Deno.test("norm divides by the root mean square: (1, 7) has mean square 25", () => {
  const out = blank(4);
  norm({ rows: 2, dim: 2, eps: 0 }, operandsOf({ x: f32(1, 7, 0, 0), weight: f32(10, 1), out }));
  assertAlmostEquals(out[0] ?? NaN, 2, 1e-6);
  assertAlmostEquals(out[1] ?? NaN, 1.4, 1e-6);
  // 0 / sqrt(0) only without eps; with it a zero row stays zero.
  norm({ rows: 1, dim: 2, eps: 1e-5 }, operandsOf({ x: f32(0, 0), weight: f32(10, 1), out }));
  assertEquals([...out.subarray(0, 2)], [0, 0]);
});

Deno.test("norm in place gives the same bits", () => {
  const [x, out] = [f32(0.1, -3, 2, 9, 1e-3, 4), blank(6)];
  const weight = f32(1, -2, 0.5);
  norm({ rows: 2, dim: 3, eps: 1e-5 }, operandsOf({ x, weight, out }));
  norm({ rows: 2, dim: 3, eps: 1e-5 }, operandsOf({ x, weight, out: x }));
  assertEquals([...x], [...out]);
});

Deno.test("matmul multiplies by rows of the weight, adds the bias, and adds to what is there if told so", () => {
  const weight = f32(1, 0, -1, 2, 2, 2);
  const out = f32(100, 100);
  const params = { m: 1, n: 2, k: 3, accumulate: false };
  matmul(params, operandsOf({ x: f32(3, 4, 5), weight, out }));
  assertEquals([...out], [-2, 24]);
  matmul({ ...params, accumulate: true }, operandsOf({ x: f32(3, 4, 5), weight, bias: f32(0.5, -0.5), out }));
  assertEquals([...out], [-3.5, 47.5]);
});

Deno.test("matmul sums every column of an inner size that is not a multiple of four", () => {
  for (const k of [1, 2, 3, 4, 5, 7, 33]) {
    const out = blank(1);
    const powers = Float32Array.from({ length: k }, (_, c) => c + 1);
    matmul({ m: 1, n: 1, k, accumulate: false }, operandsOf({ x: powers, weight: new Float32Array(k).fill(1), out }));
    assertEquals(out[0], k * (k + 1) / 2);
  }
});

Deno.test("argmax takes the lowest index on ties, and none where a value is NaN or infinite or none is finite", () => {
  const out = blankWords(6);
  const none = 0xFFFFFFFF;
  const x = f32(1, 3, 3, NaN, -2, -1, -0, 0, -1, 1, Infinity, 0, -Infinity, -2, -Infinity, -Infinity, -Infinity, -Infinity);
  argmax({ m: 6, n: 3 }, operandsOf({ x, out }));
  assertEquals([...out], [1, none, 0, none, 1, none]);
});
