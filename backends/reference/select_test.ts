import { assertAlmostEquals, assertEquals } from "@std/assert";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { attendRows } from "./attend.ts";
import { boundQuery, minmaxPages, pageScores } from "./select.ts";

/** The worked example of hybrid sparse attention: six keys of four channels, two query heads, pages of two rows, two channels. */
const keys = f32(1, 0, 0, 0, 0, 1, 0, 0, 0, -1, 1, 0, 1, -2, 0, 0, -1, 1, 1, 1, 0.5, 0, 0, 2);
const q = f32(2, -1, 0.5, 0, 1, -3, -0.5, 1);
const layout = u32(0, 6, 6);
const form = { heads: 2, kvHeads: 1, dim: 4 } as const;

function bounds(m: number): Float32Array {
  const out = blank(6 * 4);
  minmaxPages({ heads: 1, dim: 4, codec: "f32", page: 2, m, rowBytes: 16 }, operandsOf({ keys, layout, bounds: out }));
  return out;
}

const close = (actual: Float32Array, expected: ReadonlyArray<number>): void => {
  assertEquals(actual.length, expected.length);
  expected.forEach((x, i) => assertAlmostEquals(actual[i] ?? NaN, x, 1e-5));
};

Deno.test("minmaxPages: minima then maxima per page; the last row alone touches the last page alone", () => {
  assertEquals([...bounds(0)], [0, 0, 0, 0, 1, 1, 0, 0, 0, -2, 0, 0, 1, -1, 1, 0, -1, 0, 0, 1, 0.5, 1, 1, 2]);
  assertEquals([...bounds(1)].slice(16), [...bounds(0)].slice(16));
  assertEquals(bounds(1).slice(0, 16), blank(16));
});

Deno.test("boundQuery: |q| sums to (3, 4, 1, 1), so channels 1 and 0 count; signs (+, -) of the group; temperatures 1.85164 and 1.70561", () => {
  const out = blank(16);
  boundQuery({ ...form, channels: 2 }, operandsOf({ q, out }));
  const [a, b] = [1.8516402, 1.7056057];
  close(out, [0, -1 / a, 0, 0, 2 / a, 0, 0, 0, 0, -3 / b, 0, 0, 1 / b, 0, 0, 0]);
});

Deno.test("pageScores by softmax: group means 0.06227, 0.40030, 0.03743, so rows 2 and 3 are read with the weights worked out by hand", () => {
  const [weights, out] = [blank(16), blank(6)];
  boundQuery({ ...form, channels: 2 }, operandsOf({ q, out: weights }));
  const operands = operandsOf({ weights, keys, layout, out, bounds: bounds(0) });
  pageScores({ ...form, codec: "f32", page: 2, rowBytes: 16, by: "softmax", capacity: 6 }, operands);
  close(out, [0.06227, 0.06227, 0.4003, 0.4003, 0.03743, 0.03743]);
  const attended = blank(8);
  attendRows(
    {
      ...{ m: 1, heads: 2, kvHeads: 1, keyDim: 4, valueDim: 4, keyCodec: "f32", valueCodec: "f32" },
      ...{ scale: 0.5, window: 0, softcap: 0, merge: false },
    },
    operandsOf({
      ...{ q, keys, layout, out: attended, lse: blank(2) },
      ...{ values: f32(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9) },
      ...{ position: u32(0, 1, 2, 3, 4, 5), queryPosition: u32(5), keep: u32(2, 3, 0, 0, 0, 0), counts: u32(2) },
    }),
  );
  close(attended, [0.2227, 0.7773, 0, 0, 0.09535, 0.90465, 0, 0]);
});

Deno.test("pageScores by max: Quest's bound of head 0 and head 1, the larger; a last page that is not full is read off the keys", () => {
  const [weights, out] = [blank(16), blank(6)];
  boundQuery({ ...form, channels: 0 }, operandsOf({ q, out: weights }));
  const stored = operandsOf({ weights, keys, layout: u32(0, 5, 6), out, bounds: bounds(0) });
  pageScores({ ...form, codec: "f32", page: 2, rowBytes: 16, by: "max", capacity: 6 }, stored);
  // Page 0: 2 and 1; page 1: 2 + 2 + 0.5 and 1 + 6 + 0; row 4 alone: -2 - 1 + 0.5 and -1 - 3 - 0.5 + 1.
  close(out.subarray(0, 5), [2, 2, 7, 7, -2.5]);
});

Deno.test("pageScores within rows 0, 4 and 5: the softmax is over those three alone, and the others come last", () => {
  const [weights, out] = [blank(16), blank(6)];
  boundQuery({ ...form, channels: 2 }, operandsOf({ q, out: weights }));
  const within = f32(1, 0, 0, -1, 1, 0.5);
  const last = Math.fround(-1e30);
  const operands = operandsOf({ weights, keys, layout, out, bounds: bounds(0), within });
  pageScores({ ...form, codec: "f32", page: 2, rowBytes: 16, by: "softmax", capacity: 6 }, operands);
  // Head 0: e^(2 / 1.85164) = 2.9446 once and e^(1 / 1.85164) = 1.7160 twice, so 0.4618 and 0.2691; head 1: 1.7974 and 1.3407, so 0.4013 and 0.2993.
  close(out, [0.43156, last, last, last, 0.28422, 0.28422]);
});
