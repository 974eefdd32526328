import { assertAlmostEquals, assertEquals } from "@std/assert";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import type { OpParams } from "../ops.ts";
import { attend, attendReduce } from "./attend.ts";
import { lowest, noQuery } from "./kernel.ts";

const params: OpParams["attend"] = {
  m: 1,
  heads: 1,
  kvHeads: 1,
  keyDim: 1,
  valueDim: 2,
  keyCodec: "f32",
  valueCodec: "f32",
  scale: 1,
  window: 0,
  softcap: 0,
  merge: false,
};

/** A query of 1 makes the keys the scores. */
const scoresAs = (scores: ReadonlyArray<number>, values: ReadonlyArray<number>, positions: ReadonlyArray<number>, query = 100) => ({
  q: f32(1),
  keys: f32(...scores),
  values: f32(...values),
  position: u32(...positions),
  layout: u32(0, scores.length, scores.length),
  queryPosition: u32(query),
});

Deno.test("attend: two tiers with scores (1, 2 | 0.5, 3) merge to (1.398739, 0.283836)", () => {
  const [out, lse] = [blank(2), blank(1)];
  attend(params, operandsOf({ ...scoresAs([1, 2], [1, 0, 0, 1], [0, 1]), out, lse }));
  assertAlmostEquals(lse[0] ?? NaN, 2 + Math.log(1.367879), 1e-6);
  assertAlmostEquals(out[0] ?? NaN, 0.367879 / 1.367879, 1e-6);
  attend({ ...params, merge: true }, operandsOf({ ...scoresAs([0.5, 3], [1, 1, 2, 0], [2, 3]), out, lse }));
  assertAlmostEquals(out[0] ?? NaN, 1.398739, 1e-6);
  assertAlmostEquals(out[1] ?? NaN, 0.283836, 1e-6);
  assertAlmostEquals(lse[0] ?? NaN, 3 + Math.log(1.5853), 1e-6);
});

Deno.test("attend sees rows up to its position and, under a window, no older than the window", () => {
  const seen = (window: number, query: number): ReadonlyArray<number> => {
    const [out, lse] = [blank(2), blank(1)];
    const rows = scoresAs([0, 0, 0, 0], [1, 0, 10, 0, 100, 0, 1000, 0], [0, 4, 5, 9], query);
    attend({ ...params, window }, operandsOf({ ...rows, out, lse }));
    return [Math.round(Math.exp(lse[0] ?? NaN)), Math.round((out[0] ?? NaN) * Math.exp(lse[0] ?? NaN))];
  };
  assertEquals(seen(0, 5), [3, 111]);
  assertEquals(seen(2, 5), [2, 110]);
  assertEquals(seen(1, 5), [1, 100]);
  assertEquals(seen(5, 9), [2, 1100]);
});

Deno.test("attend: where nothing is visible out is 0 and lse is -1e30, and a merge with nothing changes no bit", () => {
  for (const rows of [scoresAs([], [], []), scoresAs([1], [5, 6], [7], 3), scoresAs([1], [5, 6], [0], noQuery)]) {
    const [out, lse] = [blank(2), blank(1)];
    attend(params, operandsOf({ ...rows, out, lse }));
    assertEquals([...out, ...lse], [0, 0, lowest]);
    attend({ ...params, merge: true }, operandsOf({ ...rows, out, lse }));
    assertEquals([...out, ...lse], [0, 0, lowest]);
    const [held, heldLse] = [f32(0.1, 0.2), f32(0.3)];
    attend({ ...params, merge: true }, operandsOf({ ...rows, out: held, lse: heldLse }));
    assertEquals([...held, ...heldLse], [...f32(0.1, 0.2, 0.3)]);
  }
});

Deno.test("attend: query heads of a group read the same rows, heads of another group others", () => {
  const [out, lse] = [blank(4), blank(4)];
  const four = { ...params, heads: 4, kvHeads: 2, valueDim: 1 };
  const rows = { keys: f32(1, 1), values: f32(5, 6), position: u32(0, 0), layout: u32(0, 1, 1, 1, 1, 1), queryPosition: u32(0) };
  attend(four, operandsOf({ q: f32(1, 2, 3, 4), ...rows, out, lse }));
  assertEquals([...out], [5, 5, 6, 6]);
  assertEquals([...lse], [1, 2, 3, 4]);
});

Deno.test("attend: scores are scaled, then capped: 20 * tanh(40 / 20) is 19.280552", () => {
  const [out, lse] = [blank(2), blank(1)];
  attend({ ...params, scale: 2, softcap: 20 }, operandsOf({ ...scoresAs([20], [1, 1], [0]), out, lse }));
  assertAlmostEquals(lse[0] ?? NaN, 20 * Math.tanh(2), 1e-5);
});

Deno.test("attend: scores far beyond the range of exp do not overflow", () => {
  const [out, lse] = [blank(2), blank(1)];
  attend(params, operandsOf({ ...scoresAs([3000, 3000, -3000], [1, 0, 0, 1, 9, 9], [0, 1, 2]), out, lse }));
  assertEquals([...out], [0.5, 0.5]);
  assertAlmostEquals(lse[0] ?? NaN, 3000 + Math.log(2), 1e-3);
});

const reduceParams: OpParams["attendReduce"] = {
  queries: 2,
  heads: 2,
  kvHeads: 1,
  keyDim: 1,
  keyCodec: "f32",
  scale: 1,
  window: 0,
  softcap: 0,
  overQueries: "sum",
  overGroup: "sum",
  accumulate: false,
};

/** Two rows at positions 0 and 1, two queries at 0 and 1, two heads; keys ln 1 and ln 3, so that masses are simple fractions. */
const massOperands = (out: Float32Array, queryPosition = u32(0, 1)) =>
  operandsOf({
    q: f32(1, 0, 1, 0),
    keys: f32(0, Math.log(3)),
    position: u32(0, 1),
    layout: u32(0, 2, 2),
    queryPosition,
    // Head 0: ln 1, ln 4. Head 1 scores 0 everywhere: ln 1, ln 2.
    lse: f32(0, 0, Math.log(4), Math.log(2)),
    out,
  });

Deno.test("attendReduce folds the attention matrix (1, 0 | 1/4, 3/4) and (1, 0 | 1/2, 1/2) in every way", () => {
  const folded = (overQueries: "sum" | "mean" | "max", overGroup: "sum" | "mean" | "max"): ReadonlyArray<number> => {
    const out = blank(2);
    attendReduce({ ...reduceParams, overQueries, overGroup }, massOperands(out));
    // f32 lse and keys: three roundings of 2^-24 each.
    return [...out].map((x) => Math.round(x * 1e5) / 1e5);
  };
  assertEquals(folded("sum", "sum"), [2.75, 1.25]);
  assertEquals(folded("mean", "sum"), [1.375, 0.625]);
  assertEquals(folded("max", "sum"), [2, 1.25]);
  assertEquals(folded("sum", "mean"), [1.375, 0.625]);
  assertEquals(folded("sum", "max"), [1.5, 0.75]);
  assertEquals(folded("max", "max"), [1, 0.75]);
});

Deno.test("attendReduce: absent queries give no mass and do not count in the mean; no query at all gives 0", () => {
  const out = blank(2);
  attendReduce({ ...reduceParams, overQueries: "mean", overGroup: "max" }, massOperands(out, u32(0, noQuery)));
  assertEquals([...out], [1, 0]);
  attendReduce({ ...reduceParams, overQueries: "mean" }, massOperands(out, u32(noQuery, noQuery)));
  assertEquals([...out], [0, 0]);
});

Deno.test("attendReduce: a query whose lse says that it saw nothing gives no mass", () => {
  const out = blank(1);
  const one = { ...reduceParams, queries: 1, heads: 1 };
  const rows = { q: f32(1), keys: f32(1), position: u32(0), layout: u32(0, 1, 1), queryPosition: u32(5) };
  attendReduce(one, operandsOf({ ...rows, lse: f32(lowest), out }));
  assertEquals([...out], [0]);
});

Deno.test("attendReduce accumulates onto rows and leaves slack", () => {
  const out = f32(10, 20, 30);
  attendReduce({ ...reduceParams, overGroup: "max", overQueries: "max", accumulate: true }, massOperands(out));
  assertEquals([out[0], out[2]], [11, 30]);
});

Deno.test("attendReduce gives KVzip (0.6, 0.5, 0.05), and KVzip+ (0.06, 0.20, 0.02) with norms (1, 2, 4) written and (10, 5) read", () => {
  // arXiv 2601.07891, equations 1 and 3: attention (0.6, 0.1, 0.05 | 0.2, 0.5, 0.02) as logarithms under an lse of 0.
  const a = [[0.6, 0.1, 0.05], [0.2, 0.5, 0.02]];
  const operands = {
    q: f32(1, 0, 0, 1),
    keys: Float32Array.from([0, 1, 2].flatMap((i) => a.map((row) => Math.log(row[i] ?? 0)))),
    position: u32(0, 1, 2),
    layout: u32(0, 3, 3),
    queryPosition: u32(3, 4),
    lse: f32(0, 0),
  };
  const params = { ...reduceParams, heads: 1, keyDim: 2, overQueries: "max", overGroup: "max" } as const;
  const scores = (weights: Readonly<Record<string, Float32Array>>): ReadonlyArray<number> => {
    const out = blank(3);
    attendReduce(params, operandsOf({ ...operands, ...weights, out }));
    return [...out].map((x) => Math.round(x * 1e6) / 1e6);
  };
  assertEquals(scores({}), [0.6, 0.5, 0.05]);
  assertEquals(scores({ divisor: f32(10, 5), gain: f32(1, 2, 4) }), [0.06, 0.2, 0.02]);
});

Deno.test("where every logit is 0, KVzip's score is 1 / (sinks + chunk + 1): the first repeated token sees fewest", () => {
  // One sink, a chunk of two, a repetition of two: rows see 4 and 5 keys, the maximum is 1/4 (arXiv 2505.23416, section 3.2).
  const [out, lse] = [blank(10), blank(2)];
  const rows = {
    keys: f32(0, 0, 0, 0, 0),
    values: f32(0, 0, 0, 0, 0),
    position: u32(0, 1, 2, 3, 4),
    queryPosition: u32(3, 4),
    q: f32(0, 0),
  };
  const heads = { heads: 1, kvHeads: 1, keyDim: 1, keyCodec: "f32", scale: 1, window: 0, softcap: 0 } as const;
  attend({ ...heads, m: 2, valueDim: 1, valueCodec: "f32", merge: false }, operandsOf({ ...rows, layout: u32(0, 5, 5), out, lse }));
  const scores = blank(5);
  const folds = { overQueries: "max", overGroup: "max", accumulate: false } as const;
  attendReduce({ ...heads, ...folds, queries: 2 }, operandsOf({ ...rows, layout: u32(1, 2, 2), lse, out: scores }));
  assertEquals([...scores].map((x) => Math.round(x * 1e6) / 1e6), [NaN, 0.25, 0.25, NaN, NaN]);
});
