import { assertEquals } from "@std/assert";
import { blankWords, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { demote, insertRows, queriesSeen, unweave, weave } from "./woven.ts";

Deno.test("two tiers become one list by position, and a choice from it comes apart again", () => {
  const [order, layout] = [blankWords(6), blankWords(3)];
  const [firstLayout, secondLayout] = [u32(0, 3, 3), u32(1, 2, 3)];
  weave(
    { heads: 1 },
    operandsOf({ firstPosition: u32(1, 4, 7), firstLayout, secondPosition: u32(9, 2, 4), secondLayout, order, wovenLayout: layout }),
  );
  // Positions 1, 2, 4, 4, 7: of equal ones the first tier's comes first.
  assertEquals([[...layout], [...order.subarray(1)]], [[1, 5, 6], [0, 1, 2, 3, 4]]);
  const [firstKeep, firstCounts, secondKeep, secondCounts] = [blankWords(3), blankWords(1), blankWords(4), blankWords(1)];
  const out = { firstKeep, firstCounts, secondKeep, secondCounts };
  unweave(
    { heads: 1 },
    operandsOf({ keep: u32(9, 1, 3, 4), counts: u32(3), order, wovenLayout: layout, firstLayout, secondLayout, ...out }),
  );
  assertEquals([firstCounts[0], firstKeep[0], secondCounts[0], secondKeep[1], secondKeep[2]], [1, 2, 2, 0, 1]);
});

Deno.test("rows that arrive behind others find their places", () => {
  const position = u32(1, 5, 9, 0, 6);
  insertRows({ heads: 1, rowBytes: 4 }, operandsOf({ position, counts: u32(2), layout: u32(0, 5, 5), rows: position }));
  assertEquals([...position], [0, 1, 5, 6, 9]);
});

Deno.test("queries that have weighed a row: of a prompt of 8 tokens the last 2, and all that were decoded", () => {
  const out = f32(0, 0, 0, 0);
  // Newest is 9: rows at 0 and 6 were seen by queries 6 and 7, the row at 7 by its own; then 8 and 9. The row at 8 by 8 and 9.
  queriesSeen({ heads: 1, prompt: 8, window: 2 }, operandsOf({ position: u32(0, 6, 7, 8), layout: u32(0, 4, 4), newest: u32(9), out }));
  assertEquals([...out], [4, 4, 3, 2]);
});

/** What becomes of a head whose rows score so: rows that stay, the one that passes on, those that stay in the store. */
function judged(scores: ReadonlyArray<number>, stored: ReadonlyArray<number>, recent = 1): readonly [string, string, string] {
  const [n, m] = [scores.length, stored.length];
  const [firstKeep, firstLeave, secondKeep] = [blankWords(n), blankWords(n), blankWords(m)];
  const [firstCounts, firstLeaving, secondCounts] = [blankWords(1), blankWords(1), blankWords(1)];
  const layouts = { firstLayout: u32(0, n, n), secondLayout: u32(0, m, m), newest: u32(n - 1) };
  const scored = { firstScore: f32(...scores), firstPosition: Uint32Array.from(scores, (_, i) => i), secondScore: f32(...stored) };
  const out = { firstKeep, firstCounts, firstLeave, firstLeaving, secondKeep, secondCounts };
  demote({ heads: 1, high: 1, low: 0.1, recent }, operandsOf({ ...scored, ...layouts, ...out }));
  const shown = (rows: Uint32Array, count: Uint32Array): string => [...rows.subarray(0, count[0])].join(" ");
  return [shown(firstKeep, firstCounts), shown(firstLeave, firstLeaving), shown(secondKeep, secondCounts)];
}

Deno.test("DiffKV's decision, branch by branch: pruned, requantised beside or in the place of a pruned one, or appended", () => {
  assertEquals(judged([2, 0.05, 2, 2], [0.5, 0.2]), ["0 2 3", "", "0 1"]);
  assertEquals(judged([2, 0.5, 2, 2], [0.5, 0.2]), ["0 2 3", "1", "0 1"]);
  assertEquals(judged([2, 0.5, 2, 2], [0.5, 0.02]), ["0 2 3", "1", "0"]);
  assertEquals(judged([2, 0.05, 2, 2], [0.5, 0.02]), ["0 2 3", "1", "0"]);
  assertEquals(judged([2, 1, 2, 2], [0.5, 0.02]), ["0 1 2 3", "", "0 1"]);
  assertEquals(judged([2, 3, 2, 0], []), ["0 1 2 3", "", ""]);
  // The window spares two; of equal rows the first passes on; NaN is least of all.
  assertEquals(judged([0.5, 0.5, NaN, 0], [], 2), ["1 2 3", "0", ""]);
  assertEquals(judged([2, NaN, 2, 2], []), ["0 2 3", "", ""]);
});
