/**
 * Rows against precision: budgets by the paper's rule and in true bytes, the pair that is proposed, and what is really held.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { bytesOf, fullBytes, rowsPerHead, showError, uniformShape } from "../cache/mod.ts";
import { estimate } from "../eval/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { fitRows } from "../plan/fit.ts";
import { planPolicy } from "../plan/mod.ts";
import { compress, dispose, fromDense, orThrow, read } from "../run/mod.ts";
import { onEveryBackend, sampleOf } from "./support.ts";

const dims = { keyDim: 128, valueDim: 128 };
const grouped = (["q8g64", "q4g64", "q2g64"] as const).map((name) => ({ keys: name, values: name }));

Deno.test("128 rows of 16 bits are 256, 512 or 1024 nominally, and 240, 455 or 819 in bytes with groups of 64", () => {
  assertEquals(grouped.map((pair) => fitRows(128, pair, "nominal", dims)), [256, 512, 1024]);
  assertEquals(grouped.map((pair) => fitRows(128, pair, "bytes", dims)), [240, 455, 819]);
});

Deno.test("keys and values of unequal width share one budget: K8V4 without position and score, KIVI with its scales per channel", () => {
  // 200 and 96 bytes a row of 512.
  assertEquals(fitRows(1000, { keys: "q8", values: "q4" }, "bytes", dims), Math.floor(1000 * 512 / 200));
  assertEquals(fitRows(1000, { keys: "q2c32", values: "q2g32" }, "bytes", dims), Math.floor(1000 * 512 / 96));
  assertEquals(fitRows(1000, { keys: "q8", values: "q4" }, "nominal", dims), Math.floor(1000 * 32 / 12));
});

/** What the first layer stores, or the reason why not. */
function storedAs(text: string, promptTokens: number): string {
  const policy = parsePolicy(text);
  if (E.isLeft(policy)) return showError(policy.left);
  const backend = { name: "any", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true };
  const shape = uniformShape({ layers: 2, queryHeads: 2, kvHeads: 1, headDim: 64 });
  const plan = planPolicy(policy.right, { shape, backend, promptTokens, chunk: 16, codec: { _tag: "Plain", dtype: "f16" } });
  if (E.isLeft(plan)) return showError(plan.left);
  const { store } = plan.right.layers[0] ?? { store: null };
  const count = /count=(\d+)/.exec(plan.right.describe)?.[1] ?? "all";
  return store === null ? `${count} plain` : `${count} in ${store.keyCodec._tag === "Affine" ? store.keyCodec.bits : 16}`;
}

Deno.test("bits are lowered only as long as the prompt does not fit, and never below four", () => {
  const of = (tokens: number): string => storedAs("knorm(100)|precision(auto)", tokens);
  assertEquals([100, 101, 188, 189, 5000].map(of), ["100 plain", "188 in 8", "188 in 8", "355 in 4", "355 in 4"]);
  assertEquals([storedAs("knorm(100)|precision(2)", 100), storedAs("knorm(100)|precision(4, count=nominal)", 5000)], [
    "640 in 2",
    "400 in 4",
  ]);
});

Deno.test("what means nothing is refused in words", () => {
  assert(storedAs("knorm(100)|precision(3)", 100).includes("allowed is auto or 8 or 4 or 2"));
  assert(storedAs("knorm(100)|decoding|precision(4, keys=channel)", 100).includes("code keys per token"));
  assertEquals(storedAs("kvzap(-4)|precision(4)", 100).includes("network"), true);
});

onEveryBackend("the budget in bytes is held: codes of the rows that stay take no more than the 16-bit rows would", async (memory) => {
  const sample = sampleOf(2, 2, 2, 64, 120, 3);
  const cache = await orThrow(fromDense(memory)(sample.dense));
  for (
    const [text, rows] of [["knorm(25%)|precision(8)", 56], ["knorm(25%)|precision(4)", 106], ["knorm(25%)|precision(auto)", 106]] as const
  ) {
    const small = await orThrow(compress(memory, await orThrow(parsePolicy(text)))(cache));
    assertEquals(rowsPerHead(small), [[rows, rows], [rows, rows]], text);
    assert(bytesOf(small).rows <= fullBytes(sample.shape, 30) && bytesOf(small).rows > fullBytes(sample.shape, 29), text);
    const described = estimate(await orThrow(parsePolicy(text)), {
      shape: sample.shape,
      tokens: 120,
      chunk: 120,
      codec: { _tag: "Plain", dtype: "f16" },
    });
    assertEquals(E.isRight(described) && described.right.bytes, bytesOf(small).rows + bytesOf(small).positions, text);
    await orThrow(dispose(memory)(small));
  }
  assertEquals((await orThrow(read(memory)(cache))).layers[0]?.[0]?.positions.length, 120);
  await orThrow(dispose(memory)(cache));
  assertEquals(memory.backend.liveBytes().buffers, 0);
});
