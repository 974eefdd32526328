import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type BitPlan, type BitProblem, bitsOf, type CoefficientType, coefficientTypes, groupBits, planBits, reachOf } from "./bit_plan.ts";
import { coefficientBytes, decodeCoefficients, dequantised, encodeCoefficients, quantiseGroup, toFp8 } from "./coefficients.ts";

/** The problem of rows [rows, width]. */
function problemOf(x: Float32Array, width: number, over: Pick<BitProblem, "sizes" | "types" | "overhead">): BitProblem {
  const rows = Array.from({ length: x.length / width }, (_, r) => r * width);
  const error = (end: number, size: number, type: CoefficientType): number => {
    let sum = 0;
    for (const row of rows) {
      const codes = new Uint8Array(size);
      const [scale, shift] = quantiseGroup(x, row + end - size, size, type, codes);
      codes.forEach((code, i) => sum += ((x[row + end - size + i] ?? 0) - dequantised(type, code, scale, shift)) ** 2);
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
      const back = decodeCoefficients(plan.groups, encodeCoefficients(plan.groups, x, 5), 3);
      const reach = reachOf(plan.groups);
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
  const x = Float32Array.from({ length: 10 * 40 }, (_, i) => Math.sin(i * i));
  const all = encodeCoefficients(groups, x, 10);
  const each = Array.from({ length: 40 }, (_, t) => encodeCoefficients(groups, x.subarray(10 * t, 10 * t + 10), 10));
  assertEquals(all.length, 40 * (1 + 4 + 1 + 4 + 2 + 2));
  assertEquals([all.length, all.length], [coefficientBytes(groups, 40), each.reduce((sum, one) => sum + one.length, 0)]);
  assertEquals([...all].sort((a, b) => a - b), each.flatMap((one) => [...one]).sort((a, b) => a - b));
  assertEquals(decodeCoefficients(groups, all, 40), Float32Array.from(each.flatMap((one) => [...decodeCoefficients(groups, one, 1)])));
});

Deno.test("a constant group decodes to its number, and 8-bit floats know 256, 288 and 448", () => {
  const [scale, shift] = quantiseGroup(Float32Array.of(2.5, 2.5), 0, 2, "int4", new Uint8Array(2));
  assertEquals([scale, shift], [0, 2.5]);
  for (const x of [0, 2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 1.125, 240, 256, 288, 448]) {
    assertEquals([dequantised("fp8", toFp8(x), 1, 0), dequantised("fp8", toFp8(-x), 1, 0)], [x, x === 0 ? 0 : -x]);
  }
});
