import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { fidelity, kl, type Logits, logSumExp, nll, top1 } from "./metrics.ts";

const rows = (...of: number[][]): Logits => of.map((row) => new Float32Array(row));
const right = <A>(result: E.Either<unknown, A>): A => {
  assert(E.isRight(result));
  return result.right;
};
/** Logits whose softmax is exactly these shares (up to f32 rounding). */
const shares = (...of: number[]): number[] => of.map(Math.log);

Deno.test("nll of a uniform distribution is log(vocab), and adding a constant changes nothing", () => {
  assertAlmostEquals(right(nll(rows([7, 7, 7, 7, 7]), [3])), Math.log(5), 1e-12);
});

Deno.test("nll is the mean over positions", () => {
  // p = 1/2 and p = 1/8: (log 2 + log 8) / 2. Logits are f32: 1e-7 relative.
  assertAlmostEquals(right(nll(rows(shares(0.5, 0.5), shares(0.125, 0.875)), [0, 0])), (Math.log(2) + Math.log(8)) / 2, 1e-6);
});

Deno.test("kl by hand: (3/4, 1/4) against (1/2, 1/2), and its direction matters", () => {
  const [p, q] = [rows(shares(0.75, 0.25)), rows(shares(0.5, 0.5))];
  assertAlmostEquals(right(kl(p, q)), 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 1e-6);
  assertAlmostEquals(right(kl(q, p)), 0.5 * Math.log(0.5 / 0.75) + 0.5 * Math.log(0.5 / 0.25), 1e-6);
});

Deno.test("top1 counts positions with the same likeliest token, ties going to the lowest id", () => {
  assertEquals(right(top1(rows([1, 2], [2, 1], [3, 3]), rows([1, 2], [1, 2], [3, 1]))), 2 / 3);
});

Deno.test("logits that would overflow exp do not overflow here", () => {
  assertEquals(logSumExp(new Float32Array([1000, 1000])), 1000 + Math.log(2));
  assertEquals(logSumExp(new Float32Array([-Infinity, 0])), 0);
  assertAlmostEquals(right(kl(rows([1000, 0]), rows([0, 0]))), Math.log(2), 1e-12);
});

const matrix = fc.integer({ min: 1, max: 6 }).chain((vocab) =>
  fc.array(fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: vocab, maxLength: vocab }), { minLength: 1, maxLength: 5 })
);

Deno.test("a run compared with itself has no distance, whatever its logits", () => {
  fc.assert(
    fc.property(matrix, (of) => assertEquals(right(fidelity(rows(...of), rows(...of), of.map(() => 0))), { nllDelta: 0, kl: 0, top1: 1 })),
    { numRuns: 200 },
  );
});

Deno.test("adding a constant to all logits of one side changes neither nll nor kl", () => {
  const whole = fc.array(fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(whole, fc.integer({ min: -1000, max: 1000 }), (of, shift) => {
      const [base, other] = [rows(...of), rows(...of.map((row) => row.toReversed()))];
      const moved = rows(...of.map((row) => row.toReversed().map((x) => x + shift)));
      // Whole numbers of this size are exact in f32; what is left is the rounding of f64 sums around 1000.
      assertAlmostEquals(right(kl(base, moved)), right(kl(base, other)), 1e-9);
      assertAlmostEquals(right(nll(moved, of.map(() => 1))), right(nll(other, of.map(() => 1))), 1e-9);
    }),
    { numRuns: 200 },
  );
});

Deno.test("shapes that do not fit, and targets outside the vocabulary, are Left", () => {
  assert(E.isLeft(nll(rows([1, 2]), [2])));
  assert(E.isLeft(nll(rows([1, 2]), [-1])));
  assert(E.isLeft(nll(rows([1, 2]), [])));
  assert(E.isLeft(nll([], [])));
  assert(E.isLeft(kl(rows([1, 2]), rows([1, 2, 3]))));
  assert(E.isLeft(top1(rows([1, 2]), rows([1, 2], [1, 2]))));
  assert(E.isLeft(kl([], [])));
});
