import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { uniformShape } from "../cache/uniform.ts";
import type { Budget, Layers } from "../policy/types.ts";
import { pyramidLine, pyramidRows, resolveBudget, resolveLayers, shareOf } from "./resolve.ts";
import type { Target } from "./types.ts";

const target = (layers: number, promptTokens: number): Target => ({
  shape: uniformShape({ layers, queryHeads: 2, kvHeads: 1, headDim: 4, context: 1000 }),
  backend: { name: "none", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
  promptTokens,
  chunk: 16,
  codec: { _tag: "Plain", dtype: "f16" },
});

const rowsAt = (budget: Budget, layers: number, prompt: number): ReadonlyArray<number> =>
  Array.from({ length: layers }, (_, l) => {
    const limit = resolveBudget(budget, l, target(layers, prompt), "budget");
    return E.isRight(limit) && limit.right._tag === "Rows" ? limit.right.rows : -1;
  });

const pathOf = (result: E.Either<{ readonly _tag: string; readonly path?: string }, unknown>): string =>
  E.isLeft(result) ? `${result.left._tag} ${result.left.path}` : "right";

Deno.test("a share is the floor of the exact quotient, where floating point would be off by one", () => {
  assertEquals(shareOf({ numerator: 29, denominator: 100 }, 100), 29); // 0.29 * 100 = 28.999999999999996
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 0, max: 1e9 }), (p, q, n) => {
      const share = BigInt(shareOf({ numerator: Math.min(p, q), denominator: q }, n));
      const exact = BigInt(n) * BigInt(Math.min(p, q));
      return share * BigInt(q) <= exact && exact < (share + 1n) * BigInt(q);
    }),
    { numRuns: 500 },
  );
});

Deno.test("a share of a short prompt keeps one row at least", () => {
  assertEquals(rowsAt({ _tag: "Share", share: { numerator: 1, denominator: 4 } }, 1, 3), [1]);
  assertEquals(rowsAt({ _tag: "Share", share: { numerator: 1, denominator: 4 } }, 1, 103), [25]);
});

Deno.test("the pyramid of KVCache-Factory: lo 6, hi 234, step 7", () => {
  const rows = Array.from({ length: 32 }, (_, l) => pyramidRows(128, 8, 20, l, 32, 4096) - 8);
  assertEquals([rows[0], rows[31]], [234, 17]);
  assertEquals(rows.reduce((a, b) => a + b, 0) / 32, 125.5);
});

Deno.test("a pyramid over a short prompt is flat: n < B and B <= n < 2b", () => {
  for (const n of [100, 128, 239]) assertEquals(pyramidRows(128, 8, 20, 0, 32, n), 128);
  assertEquals(pyramidRows(128, 8, 20, 0, 1, 4096), 128);
});

Deno.test("a pyramid along a line: each layer rounded to even, flat where a layer could not hold its window", () => {
  const rows = Array.from({ length: 32 }, (_, l) => pyramidLine(128, 6, 20, l, 32, 4096));
  // 256 - 6.4 = 249.6 down to 6.4, by 243.2 / 31 = 7.845 a layer.
  assertEquals([rows[0], rows[1], rows[30], rows[31]], [250, 242, 14, 6]);
  assertEquals(rows.reduce((a, b) => a + b, 0) / 32, 128);
  // 120 - 2.5 a layer: 117.5 is a tie.
  assertEquals([0, 1, 2].map((l) => pyramidLine(115, 0, 1, l, 3, 120)), [115, 115, 115]);
  assertEquals([0, 1, 2, 3, 4].map((l) => pyramidLine(115, 0, 20, l, 5, 120)), [120, 118, 115, 112, 110]);
  assertEquals([pyramidLine(128, 8, 20, 0, 32, 4096), pyramidLine(128, 6, 20, 0, 1, 4096)], [128, 128]);
});

Deno.test("where the first layer would keep more than the prompt, the last gets what it leaves", () => {
  // b = 120, hi = 240 - 6 = 234 >= 240 - 8 = 232, so hi = 232, lo = 8, step = 7
  assertEquals([0, 31].map((l) => pyramidRows(128, 8, 20, l, 32, 240)), [240, 232 - 31 * 7 + 8]);
});

Deno.test("a pyramid never grows with depth, and no layer keeps less than its window and a share of 1/beta", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 200 }),
      fc.integer({ min: 0, max: 63 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 5000 }),
      (mean, w, beta, layers, n) => {
        const window = Math.min(w, mean - 1);
        const rows = Array.from({ length: layers }, (_, l) => pyramidRows(mean, window, beta, l, layers, n));
        return rows.every((r, l) => r >= window && r <= (rows[l - 1] ?? Infinity));
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("budgets per layer are taken in order and must be as many as layers", () => {
  const three: Budget = { _tag: "PerLayer", budgets: [4, 5, 6].map((rows) => ({ _tag: "Rows", rows })) };
  assertEquals(rowsAt(three, 3, 10), [4, 5, 6]);
  assertEquals(pathOf(resolveBudget(three, 0, target(2, 10), "budget")), "InvalidPolicy budget.budgets");
});

Deno.test("a budget of 0, of a fraction, or beyond the context is refused", () => {
  for (const rows of [0, -1, 1.5, NaN, Infinity, 1001]) {
    assertEquals(pathOf(resolveBudget({ _tag: "Rows", rows }, 0, target(1, 10), "budget")), "InvalidPolicy budget.rows");
  }
});

Deno.test("layer ranges count from both ends", () => {
  const resolved = (layers: Layers): ReadonlyArray<number> => E.getOrElse((): ReadonlyArray<number> => [-1])(resolveLayers(layers, 4, "b"));
  assertEquals(resolved({ _tag: "All" }), [0, 1, 2, 3]);
  assertEquals(resolved({ _tag: "Range", from: 1, to: 3 }), [1, 2]);
  assertEquals(resolved({ _tag: "Range", from: -2, to: 0 }), [2, 3]);
  assertEquals(resolved({ _tag: "Range", from: 2, to: 99 }), [2, 3]);
  assertEquals(resolved({ _tag: "List", layers: [-1, 0, 0] }), [0, 3]);
  const outside: ReadonlyArray<Layers> = [
    { _tag: "Range", from: 4, to: 5 },
    { _tag: "Range", from: 2, to: 2 },
    { _tag: "Range", from: -5, to: 2 },
    { _tag: "List", layers: [4] },
    { _tag: "List", layers: [0.5] },
  ];
  for (const layers of outside) assertEquals(pathOf(resolveLayers(layers, 4, "b")), "InvalidPolicy b.layers");
});
