import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { uniformShape } from "../cache/uniform.ts";
import { parsePolicy } from "../papers/mod.ts";
import { type Estimate, estimate, type EstimateOptions } from "./estimate.ts";

const shape = uniformShape({ layers: 4, queryHeads: 8, kvHeads: 2, headDim: 64 });
const options: EstimateOptions = { shape, tokens: 1000, chunk: 100, codec: { _tag: "Plain", dtype: "f16" } };
/** Key and value in f16, and a position. */
const ROW = 2 * 64 * 2 + 4;

const of = (text: string, changes: Partial<EstimateOptions> = {}): Estimate => {
  const policy = parsePolicy(text);
  assert(E.isRight(policy));
  const result = estimate(policy.right, { ...options, ...changes });
  assert(E.isRight(result));
  return result.right;
};

Deno.test("the whole cache: every head of every layer holds every token", () => {
  const all = of("keepall");
  assertEquals([all.rowsKept, all.rowsTotal, all.bytes, all.peakBytes], [8000, 8000, 8000 * ROW, 8000 * ROW]);
  assertEquals(all.bytesFull, 8000 * 2 * 64 * 2);
});

Deno.test("query heads do not count, key-value heads do", () => {
  const wide = uniformShape({ layers: 4, queryHeads: 32, kvHeads: 2, headDim: 64 });
  const many = uniformShape({ layers: 4, queryHeads: 8, kvHeads: 8, headDim: 64 });
  assertEquals(of("keepall", { shape: wide }).bytes, of("keepall").bytes);
  assertEquals(of("keepall", { shape: many }).bytes, 4 * of("keepall").bytes);
});

Deno.test("a codec of four bytes doubles keys and values but not positions", () => {
  assertEquals(of("keepall", { codec: { _tag: "Plain", dtype: "f32" } }).bytes, 8000 * (2 * 64 * 4 + 4));
});

Deno.test("a budget at the end of the prefill lowers what is held, not the peak", () => {
  const half = of("knorm(50%)");
  assertEquals([half.rowsKept, half.bytes, half.peakBytes], [4000, 4000 * ROW, 8000 * ROW]);
});

Deno.test("a budget after every chunk bounds the peak by itself and one chunk", () => {
  const streamed = of("streamingllm(64)|streaming");
  assertEquals([streamed.rowsKept, streamed.peakBytes], [8 * 64, 8 * (64 + 100) * ROW]);
});

Deno.test("a ring of recent queries is counted as long as it is there: after the prompt where decoded tokens look at it", () => {
  const ring = 4 * 16 * (8 * (64 + 1) + 1) * 4;
  const snap = of("snapkv(100, window=16)");
  assertEquals(snap.bytes, 800 * ROW);
  assertEquals(snap.peakBytes, 8 * 1000 * ROW + ring);
  assertEquals(of("snapkv(100, window=16, decode=yes)").bytes, 800 * ROW + ring);
});

Deno.test("a sliding window holds no more than itself, and a prompt shorter than the window all of it", () => {
  const windowed = uniformShape({ layers: 4, queryHeads: 8, kvHeads: 2, headDim: 64, window: 256 });
  assertEquals(of("keepall", { shape: windowed }).rowsKept, 8 * 256);
  assertEquals(of("keepall", { shape: windowed, tokens: 100 }).rowsKept, 8 * 100);
});

Deno.test("what the planner refuses is refused here", () => {
  const policy = parsePolicy("snapkv(100, window=64)");
  assert(E.isRight(policy));
  assert(E.isLeft(estimate(policy.right, { ...options, tokens: 32 })));
});
