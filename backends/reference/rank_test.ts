import { assertEquals } from "@std/assert";
import { blankWords, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import type { OpParams } from "../ops.ts";
import { leaving, rank, threshold } from "./rank.ts";

/** Heads of rows at positions 0, 1, 2, …; the result is the kept indices per head. */
function select(
  run: (operands: ReturnType<typeof operandsOf>) => void,
  scores: ReadonlyArray<ReadonlyArray<number>>,
): ReadonlyArray<ReadonlyArray<number>> {
  const total = scores.flat().length;
  const starts = scores.map((_, h) => scores.slice(0, h).flat().length);
  const [keep, counts] = [blankWords(total), blankWords(scores.length)];
  run(operandsOf({
    score: f32(...scores.flat()),
    position: u32(...scores.flatMap((head) => head.map((_, t) => t))),
    layout: u32(...scores.flatMap((head, h) => [starts[h] ?? 0, head.length, head.length])),
    newest: u32(Math.max(...scores.map((head) => head.length)) - 1),
    keep,
    counts,
  }));
  return scores.map((_, h) => [...keep.subarray(starts[h], (starts[h] ?? 0) + (counts[h] ?? 0))]);
}

const ranked = (params: Partial<OpParams["rank"]>, scores: ReadonlyArray<ReadonlyArray<number>>) =>
  select(
    (operands) => rank({ heads: scores.length, mode: "perHead", count: 0, floor: 0, sinks: 0, recent: 0, ...params }, operands),
    scores,
  );

const above = (params: Partial<OpParams["threshold"]>, scores: ReadonlyArray<ReadonlyArray<number>>) =>
  select((operands) => threshold({ heads: scores.length, value: 0, floor: 0, sinks: 0, recent: 0, ...params }, operands), scores);

Deno.test("rank keeps the best rows of each head, ascending, and of equal ones the older", () => {
  assertEquals(ranked({ count: 3 }, [[1, 5, 1, 7, 1], [2, 2, 2, 2]]), [[0, 1, 3], [0, 1, 2]]);
});

Deno.test("rank keeps all of a head that has no more than the budget, and nothing for a budget of 0", () => {
  assertEquals(ranked({ count: 3 }, [[1, 2], [], [3, 2, 1]]), [[0, 1], [], [0, 1, 2]]);
  assertEquals(ranked({ count: 0 }, [[1, 2]]), [[]]);
});

Deno.test("rank: NaN is below -Infinity, and -0 ties with 0", () => {
  assertEquals(ranked({ count: 2 }, [[NaN, -Infinity, NaN, -5]]), [[1, 3]]);
  assertEquals(ranked({ count: 3 }, [[NaN, -Infinity, NaN, -5]]), [[0, 1, 3]]);
  assertEquals(ranked({ count: 1 }, [[-0, 0]]), [[0]]);
  assertEquals(ranked({ count: 1 }, [[0, -0]]), [[0]]);
});

Deno.test("rank: protected rows count toward the budget and stay beyond it", () => {
  assertEquals(ranked({ count: 3, sinks: 1, recent: 1 }, [[0, 9, 8, 7, 0]]), [[0, 1, 4]]);
  assertEquals(ranked({ count: 1, sinks: 2, recent: 2 }, [[0, 9, 8, 7, 0]]), [[0, 1, 3, 4]]);
  assertEquals(ranked({ count: 1, recent: 0xFFFFFFFF }, [[3, 2, 1]]), [[0, 1, 2]]);
});

Deno.test("rank protects by position, so a head whose newest rows are gone protects none of what is left", () => {
  // Newest is 4, from the first head; the second holds positions 0 and 1.
  assertEquals(ranked({ count: 1, recent: 2 }, [[9, 0, 0, 0, 0], [1, 5]]), [[3, 4], [1]]);
});

Deno.test("rank pooled: heads share heads * count rows, best first, ties to the lower head", () => {
  assertEquals(ranked({ mode: "pooled", count: 2 }, [[9, 8, 7], [1, 2, 6]]), [[0, 1, 2], [2]]);
  assertEquals(ranked({ mode: "pooled", count: 1 }, [[5, 5], [5, 5]]), [[0, 1], []]);
});

Deno.test("rank pooled: every head keeps its floor first, and protection may exceed the total", () => {
  assertEquals(ranked({ mode: "pooled", count: 2, floor: 1 }, [[9, 8, 7, 6], [1, 2, 3, 4]]), [[0, 1, 2], [3]]);
  assertEquals(ranked({ mode: "pooled", count: 1, sinks: 2 }, [[9, 8, 7], [1, 2, 3]]), [[0, 1], [0, 1]]);
  assertEquals(ranked({ mode: "pooled", count: 9 }, [[9], [1, 2]]), [[0], [0, 1]]);
});

Deno.test("rank pooled: the floor is filled by protected rows before the best ones", () => {
  assertEquals(ranked({ mode: "pooled", count: 1, floor: 1, sinks: 1 }, [[0, 9], [0, 9]]), [[0], [0]]);
});

Deno.test("threshold keeps rows at or above the value and never NaN", () => {
  assertEquals(above({ value: 0.5 }, [[0.5, NaN, 0.4, Infinity], [-1]]), [[0, 3], []]);
  assertEquals(above({ value: 0 }, [[-0, -1]]), [[0]]);
});

Deno.test("threshold compares in f32: 0.7 passes 0.7, though its f32 is below it", () => {
  assertEquals(above({ value: 0.7 }, [[0.7]]), [[0]]);
});

Deno.test("threshold fills up to the floor with protected and best rows", () => {
  assertEquals(above({ value: 5, floor: 2 }, [[1, 3, 2, 0], [9]]), [[1, 2], [0]]);
  assertEquals(above({ value: 5, floor: 2, sinks: 1 }, [[1, 3, 2, 0]]), [[0, 1]]);
  assertEquals(above({ value: 5, floor: 2, recent: 1 }, [[1, 7, 6, 0]]), [[1, 2, 3]]);
});

Deno.test("leaving: the end of each segment from its first row below the threshold; an equal score stays, NaN goes, protected rows do not count", () => {
  const tail = blankWords(12);
  leaving(
    { heads: 4, value: -4, sinks: 1, recent: 2 },
    operandsOf({
      score: f32(...[-9, -4, -5, -3, -9], ...[-9, -3, -4, -9, -9], 7, ...[0, NaN]),
      position: u32(...[0, 1, 2, 3, 4], ...[0, 1, 2, 3, 4], 9, ...[1, 2]),
      layout: u32(...[0, 5, 5], ...[5, 5, 6], ...[11, 2, 2], ...[13, 0, 0]),
      newest: u32(4),
      tail,
    }),
  );
  assertEquals([...tail], [...[2, 3, 3], ...[10, 0, 1], ...[12, 1, 1], ...[13, 0, 0]]);
});
