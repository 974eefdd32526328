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
import { compress, dispose, type Memory, orThrow, read } from "../run/mod.ts";
import { codes, methods, rewrites } from "./composition_parts.ts";
import { fold } from "./fold_support.ts";
import { cacheOf, onEveryBackend, type Sample, sampleOf, seen } from "./support.ts";

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

/** What a composition is run on: rows and queries, of which so many tokens are the prompt, in chunks. */
interface Stage {
  readonly sample: Sample;
  readonly prompt: number;
  readonly chunk: number;
}

/** Folds a composition over every token and lets go of it, or gives false where the planner refuses it, in words. */
async function runs(memory: Memory, text: string, { sample, prompt, chunk }: Stage): Promise<boolean> {
  const policy = await orThrow(parsePolicy(text));
  const plan = planPolicy(policy, {
    shape: sample.shape,
    backend: memory.backend,
    promptTokens: prompt,
    chunk,
    codec: { _tag: "Plain", dtype: "f32" },
  });
  if (E.isLeft(plan)) {
    assert(["Unsupported", "InvalidPolicy"].includes(plan.left._tag), text);
    assert(/allowed is|because|needs|wants|is not supported/.test(showError(plan.left)), showError(plan.left));
    return false;
  }
  // Folding checks bytes against what the backend holds, and positions, after every chunk and token.
  const { cache } = await fold(memory, plan.right, sample, prompt, chunk);
  for (const [l, { rowsBound, store }] of plan.right.layers.entries()) {
    const most = store === null ? rowsBound ?? sample.tokens : sample.tokens;
    for (const rows of rowsPerHead(cache)[l] ?? []) assert(rows >= 0 && rows <= most, text);
  }
  for (const { positions } of (await orThrow(read(memory)(cache))).layers.flat()) {
    assertEquals([...positions], [...new Set(positions)].sort((a, b) => a - b), text);
  }
  await orThrow(dispose(memory)(cache));
  assertEquals(memory.backend.liveBytes().buffers, 0, text);
  return true;
}

/** Runs as many random compositions; at least `ran` of them must go through. The bound is just below what these seeds give, so that a planner
 * that refuses more than it did is seen. */
async function tryAll(memory: Memory, texts: fc.Arbitrary<string>, stage: Stage, { numRuns, seed, ran }: Tried): Promise<void> {
  let through = 0;
  const property = fc.asyncProperty(texts, async (text) => void (through += await runs(memory, text, stage) ? 1 : 0));
  await fc.assert(property, { numRuns, seed });
  assert(through >= ran, `${through} of ${numRuns} ran`);
}

type Tried = Readonly<Record<"numRuns" | "seed" | "ran", number>>;

onEveryBackend(
  "160 random pairs and triples run end to end, or are refused by the planner with a reason",
  (memory) => tryAll(memory, composed, { sample: sampleOf(3, 2, 2, 4, 24, 7), prompt: 18, chunk: 6 }, { numRuns: 160, seed: 5, ran: 113 }),
);

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
  "72 random pairs and triples with codes, tiers or bytes for rows run end to end, or are refused in words",
  (memory) => tryAll(memory, coded, { sample: sampleOf(2, 1, 2, 32, 46, 7), prompt: 40, chunk: 10 }, { numRuns: 72, seed: 11, ran: 41 }),
);
