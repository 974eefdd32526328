import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { passesOf } from "./repeat.ts";

/** Six ids for either question; tokens of the context are their positions. */
const tokenizer = { encode: (text: string) => text.includes("starting with") ? [201, 202] : [101] };
const parts = { prefix: [], suffix: [999] };
const context = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i);
const passes = (denominators: "training" | "inference", prefix: number, tokens: number, chunk: number, limit = 1000) => {
  const found = passesOf(tokenizer, limit, context(tokens), { denominators, parts, prefix, chunk });
  return E.isRight(found) ? found.right : [];
};

Deno.test("a context is repeated chunk by chunk, later chunks after their last eight predecessors", () => {
  const [first, second, third, ...rest] = passes("inference", 2, 23, 10);
  assertEquals(first, { from: 2, to: 12, sinks: 2, silent: [], scored: [101, 999, ...context(12).slice(2)] });
  assertEquals(second, {
    from: 12,
    to: 22,
    sinks: 2,
    silent: [],
    scored: [201, 202, ...context(12).slice(4), 999, ...context(22).slice(12)],
  });
  assertEquals([third?.from, third?.to, rest.length], [22, 23, 0]); // a chunk of one token
});

Deno.test("without a prefix the first four rows are sinks, or as many as come before the chunk", () => {
  assertEquals(passes("inference", 0, 12, 3).map((p) => p.sinks), [0, 3, 4, 4]);
});

Deno.test("under training denominators the question is read in silence and the whole context is one chunk", () => {
  assertEquals(passes("training", 3, 8, 2), [{ from: 3, to: 8, sinks: 0, silent: [101, 999], scored: [3, 4, 5, 6, 7] }]);
});

Deno.test("chunks shrink to the room that the context leaves, and a context that is all prefix has nothing to score", () => {
  // 40 of 57 positions are taken, 11 more by the longer question, its eight tokens and the suffix: 6 are left.
  assertEquals(passes("inference", 0, 40, 2000, 57).map((p) => p.to - p.from), [6, 6, 6, 6, 6, 6, 4]);
  assertEquals(passes("inference", 5, 5, 10), []);
});
