import { assertEquals } from "@std/assert";
import { blank, blankWords, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { meanUnit } from "./columns.ts";
import { newestLike, noRow, redundancy } from "./pairs.ts";
import { softmax } from "./votes.ts";

const rounded = (xs: Float32Array): ReadonlyArray<number> => [...xs].map((x) => Math.round(x * 1e5) / 1e5 + 0);

/** The keys of R-KV's worked example, in a head that starts at slot 1: rows 0 and 2 are the same. */
const rows = f32(9, 9, 1, 0, 0, 1, 1, 0, 0.6, 0.8);
const norms = f32(NaN, 1, 1, 1, 1);
const layout = u32(1, 4, 4);
const params = { heads: 1, dim: 2, codec: "f32" } as const;

Deno.test("R-KV's worked example: newest likenesses 3, 3, 3, 2; redundancy .4, .2, .25, 0, so the newer duplicate stays", () => {
  const [anchor, like, out] = [blank(2), blankWords(5), blank(5)];
  meanUnit(params, operandsOf({ rows, layout, out: anchor }));
  newestLike({ ...params, above: 0.5 }, operandsOf({ rows, norms, layout, out: like }));
  assertEquals([...like], [0xDEAD, 3, 3, 3, 2]);
  // Equation 6 as printed: the duplicates tie, the newest row is worst.
  redundancy({ ...params, spares: "own" }, operandsOf({ rows, norms, anchor, like, layout, out }));
  assertEquals(rounded(out), [NaN, 0.25, 0, 0.25, 0.35]);
  redundancy({ ...params, spares: "newest" }, operandsOf({ rows, norms, anchor, like, layout, out }));
  assertEquals(rounded(out), [NaN, 0.4, 0.2, 0.25, 0]);
  softmax({ heads: 1, dropLast: 0 }, operandsOf({ a: out, layout, out }));
  assertEquals(rounded(out), [NaN, 0.29853, 0.24441, 0.25695, 0.20011]);
  // 0.1 * I - 0.9 * R with I = .4, .1, .4, .1.
  const scores = f32(0.4, 0.1, 0.4, 0.1).map((i, t) => 0.1 * i - 0.9 * (out[t + 1] ?? NaN));
  assertEquals(rounded(scores), [-0.22868, -0.20997, -0.19125, -0.1701]);
});

Deno.test("redundancy: the first row stands for a likeness that is not there, in R-KV's code to the letter", () => {
  const [anchor, out] = [blank(2), blank(5)];
  meanUnit(params, operandsOf({ rows, layout, out: anchor }));
  const like = u32(0, noRow, noRow, noRow, 2);
  // Row 0 is spared its likeness to row 2, which is 1, and to row 1, which is 0; the last row's to row 2 is .6.
  redundancy({ ...params, spares: "first" }, operandsOf({ rows, norms, anchor, like, layout, out }));
  assertEquals(rounded(out), [NaN, 0.15, 0.2, 0.25, 0.5]);
});

Deno.test("newestLike: no row is its own likeness, a zero row is like nothing, and lengths do not matter", () => {
  const out = blankWords(4);
  newestLike(
    { ...params, above: 0.5 },
    operandsOf({ rows: f32(5, 0, 0, 0, 0.1, 0, 0, 2), norms: f32(5, 0, 0.1, 2), layout: u32(0, 4, 4), out }),
  );
  assertEquals([...out], [2, noRow, 0, noRow]);
});
