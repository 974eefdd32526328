/**
 * Compositions: random pairs and triples of the methods, each perhaps rewritten, run end to end through a small model's tokens, or are
 * refused by the planner in words. A run that goes through holds its bound, keeps positions ascending, and reports the bytes that are held.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as E from "fp-ts/Either.js";
import { rowsPerHead, showError } from "../cache/mod.ts";
import { cards, parsePolicy, registry } from "../papers/mod.ts";
import { planPolicy } from "../plan/mod.ts";
import { compress, dispose, orThrow, read } from "../run/mod.ts";
import { fold } from "./fold_support.ts";
import { cacheOf, onEveryBackend, sampleOf, seen } from "./support.ts";

/** Every method that is a policy, in sizes that act on 24 tokens. */
const methods: Readonly<Record<string, string>> = {
  keepall: "keepall",
  streamingllm: "streamingllm(9, sinks=2)",
  knorm: "knorm(50%)",
  keydiff: "keydiff(10)",
  snapkv: "snapkv(8, window=3, kernel=3)",
  tova: "tova(7)",
  h2o: "h2o(8)",
  rkv: "rkv(9, buffer=2, window=3)",
  dbudgetkv: "dbudgetkv(0.2, sinks=1, exempt=1)",
  fastgen: "fastgen(0.7)",
  lagkv: "lagkv(8, sinks=1, lag=3)",
  kvsharer: "kvsharer([0, 0, 2])",
  quest: "quest(8, page=4, dense=0)",
  rocketkv: "rocketkv(16, length=24, answer=6, window=3, kernel=3)",
  rocketkv_mt: "rocketkv_mt(16, length=24, answer=6, window=3, kernel=3)",
  expected: "expected(8, queries=4, future=8, sinks=1)",
  clusterkv: "clusterkv(9, per=4, sinks=1, window=4, added=2, dense=0)",
};
const rewrites = [
  "",
  "",
  "|ada(20%)",
  "|pyramid(4)",
  "|streaming",
  "|decoding",
  "|merge",
  "|critical(50%)",
  "|layers(1..)",
  "|protect(1)",
];

const composed = fc.array(fc.tuple(fc.constantFrom(...Object.values(methods)), fc.constantFrom(...rewrites)), {
  minLength: 2,
  maxLength: 3,
})
  .map((parts) => parts.map(([method, rewrite]) => method + rewrite).join("+"));

/** The registry has names that others' tests cover: networks and codecs that this model has not. */
Deno.test("every method of this test is in the registry and has a card", () => {
  for (const name of Object.keys(methods)) {
    assert(registry.some((e) => e.name === name) && cards.some((c) => c.name === name), name);
  }
});

onEveryBackend("100 random pairs and triples run end to end, or are refused by the planner with a reason", async (memory) => {
  const sample = sampleOf(3, 2, 2, 4, 24, 7);
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(composed, async (text) => {
      const policy = await orThrow(parsePolicy(text));
      const plan = planPolicy(policy, {
        shape: sample.shape,
        backend: memory.backend,
        promptTokens: 18,
        chunk: 6,
        codec: { _tag: "Plain", dtype: "f32" },
      });
      if (E.isLeft(plan)) {
        assert(["Unsupported", "InvalidPolicy"].includes(plan.left._tag), text);
        assert(/allowed is|because|needs|wants/.test(showError(plan.left)), showError(plan.left));
        return;
      }
      ran++;
      // Folding checks bytes against what the backend holds, and positions, after every chunk and token.
      const { cache } = await fold(memory, plan.right, sample, 18, 6);
      for (const [l, { rowsBound }] of plan.right.layers.entries()) {
        for (const rows of rowsPerHead(cache)[l] ?? []) assert(rows >= 0 && rows <= (rowsBound ?? sample.tokens), text);
      }
      await orThrow(dispose(memory)(cache));
      assertEquals(memory.backend.liveBytes().buffers, 0, text);
    }),
    { numRuns: 100, seed: 5 },
  );
  assert(ran >= 40, `${ran} of 100 ran`);
});

onEveryBackend("compressing by a random composition leaves the input as it was", async (memory) => {
  const sample = sampleOf(3, 2, 2, 4, 24, 11);
  const positions = Array.from({ length: sample.tokens }, (_, i) => i);
  await fc.assert(
    fc.asyncProperty(composed, async (text) => {
      const policy = await orThrow(parsePolicy(text));
      const cache = await cacheOf(memory, sample);
      const before = seen(await orThrow(read(memory)(cache)));
      const tokenClass = positions.map((p) => p % 3);
      const pruned = await compress(memory, policy)(cache, { queries: sample.queries, positions, tokenClass })();
      assertEquals(seen(await orThrow(read(memory)(cache))), before, text);
      if (E.isRight(pruned)) await orThrow(dispose(memory)(pruned.right));
      await orThrow(dispose(memory)(cache));
      assertEquals(memory.backend.liveBytes().buffers, 0, text);
    }),
    { numRuns: 20, seed: 5 },
  );
});
