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
import { codes, methods, rewrites } from "./composition_parts.ts";
import { fold } from "./fold_support.ts";
import { cacheOf, onEveryBackend, sampleOf, seen } from "./support.ts";

const part = fc.tuple(fc.constantFrom(...Object.values(methods)), fc.constantFrom(...rewrites)).map(([method, rewrite]) =>
  method + rewrite
);
const composed = fc.array(part, { minLength: 2, maxLength: 3 }).map((parts) => parts.join("+"));

/** The registry has names that others' tests cover: networks and codecs that this model has not. */
Deno.test("every method of this test is in the registry and has a card", () => {
  for (const name of Object.keys(methods)) {
    assert(registry.some((e) => e.name === name) && cards.some((c) => c.name === name), name);
  }
});

onEveryBackend("60 random pairs and triples run end to end, or are refused by the planner with a reason", async (memory) => {
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
    { numRuns: 60, seed: 5 },
  );
  assert(ran >= 40, `${ran} of 60 ran`);
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

const coded = fc.tuple(fc.constantFrom(...Object.values(codes)), fc.array(part, { minLength: 1, maxLength: 2 }), fc.nat(2)).map(
  ([code, others, at]) => code.startsWith("|") ? others.map((o) => o + code).join("+") : others.toSpliced(at, 0, code).join("+"),
);

onEveryBackend(
  "48 random pairs and triples with codes, tiers or bytes for rows run end to end, or are refused in words",
  async (memory) => {
    const sample = sampleOf(2, 1, 2, 32, 46, 7);
    let ran = 0;
    await fc.assert(
      fc.asyncProperty(coded, async (text) => {
        const policy = await orThrow(parsePolicy(text));
        const target = {
          shape: sample.shape,
          backend: memory.backend,
          promptTokens: 40,
          chunk: 10,
          codec: { _tag: "Plain", dtype: "f32" },
        } as const;
        const plan = planPolicy(policy, target);
        if (E.isLeft(plan)) {
          assert(["Unsupported", "InvalidPolicy"].includes(plan.left._tag), text);
          assert(/allowed is|because|needs|wants|is not supported/.test(showError(plan.left)), showError(plan.left));
          return;
        }
        ran++;
        const { cache } = await fold(memory, plan.right, sample, 40, 10);
        for (const [l, { rowsBound }] of plan.right.layers.entries()) {
          for (const rows of rowsPerHead(cache)[l] ?? []) {
            assert(rows >= 0 && rows <= (plan.right.layers[l]?.store === null ? rowsBound ?? 46 : 46), text);
          }
        }
        for (const heads of (await orThrow(read(memory)(cache))).layers) {
          for (const { positions } of heads) {
            assertEquals([...positions], [...new Set(positions)].sort((a, b) => a - b), text);
          }
        }
        await orThrow(dispose(memory)(cache));
        assertEquals(memory.backend.liveBytes().buffers, 0, text);
      }),
      { numRuns: 48, seed: 11 },
    );
    assert(ran >= 30, `${ran} of 48 ran`);
  },
);
