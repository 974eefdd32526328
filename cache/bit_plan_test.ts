import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BitPlan,
  type BitProblem,
  bitsOf,
  type CoefficientGroup,
  type CoefficientType,
  coefficientTypes,
  groupBits,
  planBits,
  reachOf,
} from "./bit_plan.ts";
import { coefficientBytes, decodeTokens, dequantised, encodeTokens, measureGroup, quantised, toFp8 } from "./coefficients.ts";

/** Scale and shift of a group as they are stored. */
function pairOf(x: Float32Array, from: number, size: number, type: CoefficientType): readonly [scale: number, shift: number] {
  const pair = new Float16Array(2);
  measureGroup(x, from, size, type, pair);
  return [pair[0] ?? NaN, pair[1] ?? NaN];
}

/** Planes of coefficients x f32 [tokens, reach]. */
function encoded(groups: ReadonlyArray<CoefficientGroup>, x: Float32Array): Uint8Array {
  const tokens = x.length / reachOf(groups);
  const bytes = new Uint8Array(coefficientBytes(groups, tokens));
  encodeTokens(groups, { bytes, tokens }, 0, x, reachOf(groups));
  return bytes;
}

/** The reverse. */
function decoded(groups: ReadonlyArray<CoefficientGroup>, bytes: Uint8Array, tokens: number): Float32Array {
  const x = new Float32Array(tokens * reachOf(groups));
  decodeTokens(groups, { bytes, tokens }, 0, tokens, x, reachOf(groups));
  return x;
}

/** The problem of rows [rows, width]. */
function problemOf(x: Float32Array, width: number, over: Pick<BitProblem, "sizes" | "types" | "overhead">): BitProblem {
  const rows = Array.from({ length: x.length / width }, (_, r) => r * width);
  const error = (end: number, size: number, type: CoefficientType): number => {
    let sum = 0;
    for (const row of rows) {
      const [scale, shift] = pairOf(x, row + end - size, size, type);
      for (const v of x.subarray(row + end - size, row + end)) {
        sum += (v - dequantised(type, quantised(type, v, scale, shift), scale, shift)) ** 2;
      }
    }
    return sum;
  };
  const energy = Float64Array.from({ length: width }, (_, i) => rows.reduce((sum, row) => sum + (x[row + i] ?? 0) ** 2, 0));
  return { energy, error, ...over };
}

const rows = Float32Array.of(4, 1, .5, .1, -4, -1, .5, -.1, 2, -1, -.5, .1, -2, 1, -.5, -.1);
const toy = problemOf(rows, 4, { sizes: [1, 2], types: ["none", "int2", "int4"], overhead: 4 });
const near = (a: number, b: number): void => assert(Math.abs(a - b) < 1e-3, `${a} is not ${b}`);

Deno.test("the worked example: least error by budget, and the plans at 8, 14 and 16 bits", () => {
  const steps = [[0, 45.04], [5, 45.04], [6, 5.04], [7, 5.04], [8, 1.04], [13, 1.04], [14, .04], [15, .04], [16, 0], [40, 0]] as const;
  for (const [budget, error] of steps) near(planBits(toy, budget).error, error);
  const short = (plan: BitPlan) => plan.groups.map(({ size, type }) => `${size} ${type}`);
  assertEquals(short(planBits(toy, 8)), ["2 int2"]);
  assertEquals(short(planBits(toy, 14)).length, 2);
  assertEquals(short(planBits(toy, 16)), ["2 int2", "2 int2"]);
});

/** Every way to cut the first coefficients into groups, by trying all. */
function leastByTrying(problem: BitProblem, from: number, budget: number): number {
  const rest = problem.energy.subarray(from).reduce((sum, e) => sum + e, 0);
  let least = rest;
  for (const size of problem.sizes ?? []) {
    for (const type of problem.types ?? []) {
      const bits = groupBits({ size, type }, problem.overhead);
      if (from + size > problem.energy.length || bits > budget) continue;
      const own = type === "none"
        ? problem.energy.subarray(from, from + size).reduce((sum, e) => sum + e, 0)
        : problem.error(from + size, size, type);
      least = Math.min(least, own + leastByTrying(problem, from + size, budget - bits));
    }
  }
  return least;
}

Deno.test("laws of plans: as good as trying everything, never worse with more bits, within the budget, what is claimed is what decoding gives", () =>
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 15, maxLength: 15 }), fc.nat(40), (numbers, budget) => {
      const x = Float32Array.from(numbers, (n, i) => n / (1 + i % 5 * 3));
      const problem = problemOf(x, 5, { sizes: [1, 2, 3], types: coefficientTypes, overhead: 4 });
      const plan = planBits(problem, budget);
      const scale = 1e-9 * (1 + problem.energy.reduce((sum, e) => sum + e, 0));
      assert(Math.abs(plan.error - leastByTrying(problem, 0, budget)) <= scale);
      assert(planBits(problem, budget + 3).error <= plan.error + scale);
      assert(plan.bits <= budget && plan.bits === plan.groups.reduce((sum, group) => sum + groupBits(group, 4), 0));
      const reach = reachOf(plan.groups);
      const back = decoded(plan.groups, encoded(plan.groups, x.filter((_, i) => i % 5 < reach)), 3);
      const lost = x.reduce((sum, v, i) => sum + (v - (i % 5 < reach ? back[Math.floor(i / 5) * reach + i % 5] ?? 0 : 0)) ** 2, 0);
      // Decoded numbers are f32, the programme's are f64.
      assert(Math.abs(lost - plan.error) <= 1e-4 * (1 + plan.error), `${lost} ${plan.error}`);
    }),
    { numRuns: 25 },
  ));

Deno.test("effective bits of a coefficient are those of the paper: 4, 6 and 10 in groups of 16, 2.5, 4.5 and 8.5 in groups of 64", () => {
  const effective = (size: number) => (["int2", "int4", "int8"] as const).map((type) => groupBits({ size, type }) / size);
  assertEquals([16, 64, 256].map(effective), [[4, 6, 10], [2.5, 4.5, 8.5], [2.125, 4.125, 8.125]]);
  assertEquals(bitsOf.fp8, 8);
});

Deno.test("coding token by token gives the bytes of coding at once, in planes, and as many as the plan says", () => {
  const groups = [{ size: 1, type: "int8" }, { size: 2, type: "none" }, { size: 3, type: "int2" }, { size: 2, type: "fp8" }] as const;
  const x = Float32Array.from({ length: 8 * 40 }, (_, i) => Math.sin(i * i));
  const all = encoded(groups, x);
  const each = Array.from({ length: 40 }, (_, t) => encoded(groups, x.subarray(8 * t, 8 * t + 8)));
  assertEquals(all.length, 40 * (1 + 4 + 1 + 4 + 2 + 2));
  assertEquals([all.length, all.length], [coefficientBytes(groups, 40), each.reduce((sum, one) => sum + one.length, 0)]);
  assertEquals([...all].sort((a, b) => a - b), each.flatMap((one) => [...one]).sort((a, b) => a - b));
  assertEquals(decoded(groups, all, 40), Float32Array.from(each.flatMap((one) => [...decoded(groups, one, 1)])));
  const tiles = new Uint8Array(all.length);
  for (const from of [16, 0, 32]) {
    encodeTokens(groups, { bytes: tiles, tokens: 40 }, from, x.subarray(8 * from, 8 * Math.min(40, from + 16)), 8);
  }
  assertEquals(tiles, all);
  // Rows may be wider than what a plan reaches.
  const part = new Float32Array(9 * 5).fill(7);
  decodeTokens(groups, { bytes: all, tokens: 40 }, 7, 5, part, 9);
  const whole = decoded(groups, all, 40);
  part.forEach((v, i) => assertEquals(v, [1, 2, 8].includes(i % 9) ? 7 : whole[8 * (7 + Math.floor(i / 9)) + i % 9]));
});

Deno.test("a constant group decodes to its number, and 8-bit floats know 256, 288 and 448", () => {
  assertEquals(pairOf(Float32Array.of(2.5, 2.5), 0, 2, "int4"), [0, 2.5]);
  assertEquals([...decoded([{ size: 2, type: "int4" }], encoded([{ size: 2, type: "int4" }], Float32Array.of(2.5, 2.5)), 1)], [2.5, 2.5]);
  for (const x of [0, 2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 1.125, 240, 256, 288, 448]) {
    assertEquals([dequantised("fp8", toFp8(x), 1, 0), dequantised("fp8", toFp8(-x), 1, 0)], [x, x === 0 ? 0 : -x]);
  }
});
