/**
 * The fold over tokens: chunks do not matter, memory stays bounded, forks go their own way.
 * @module
 */
import { assertAlmostEquals, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { bytesOf, rowsPerHead } from "../cache/mod.ts";
import { h2o, snapKv, streamingLlm } from "../papers/mod.ts";
import { emptyPolicy, streaming } from "../policy/mod.ts";
import { apply, dispose, fork, openCache, orThrow, read } from "../run/mod.ts";
import type { Memory, ReadRows } from "../run/mod.ts";
import { fold, planOf, tokensOf } from "./fold_support.ts";
import { attendByHand, onEveryBackend, type Sample, sampleOf, samples, seen } from "./support.ts";

const joined = (parts: ReadonlyArray<ReadonlyArray<Float32Array>>, layer: number): ReadonlyArray<number> =>
  parts.flatMap((p) => [...p[layer] ?? []]);

onEveryBackend("any chunking of a dense prefill gives the same rows, bit for bit, and attention by definition", (memory) =>
  fc.assert(
    fc.asyncProperty(samples(24), fc.integer({ min: 1, max: 24 }), async (sample, chunk) => {
      const plan = planOf(memory, emptyPolicy, sample, sample.tokens, chunk);
      const whole = await readWhole(memory, sample);
      const { cache, attended } = await fold(memory, plan, sample, sample.tokens, chunk);
      const rows = await orThrow(read(memory)(cache));
      assertEquals(seen(rows), seen(whole));
      for (const [l, { queryHeads, kvHeads, keyDim, scale }] of sample.shape.layers.entries()) {
        const out = joined(attended, l);
        for (let t = 0; t < sample.tokens; t++) {
          for (let h = 0; h < queryHeads; h++) {
            const head = rows.layers[l]?.[Math.floor(h * kvHeads / queryHeads)];
            const at = (t * queryHeads + h) * keyDim;
            const expected = head === undefined
              ? []
              : attendByHand((sample.queries[l] ?? new Float32Array()).subarray(at, at + keyDim), head, t, scale);
            // 1e-4: f32 scores and sums of at most 24 rows of size about 2.
            expected.forEach((e, d) => assertAlmostEquals(out[at + d] ?? NaN, e, 1e-4));
          }
        }
      }
      await orThrow(dispose(memory)(cache));
      assertEquals(memory.backend.liveBytes().buffers, 0);
    }),
    { numRuns: 200 },
  ));

async function readWhole(memory: Memory, sample: Sample): Promise<ReadRows> {
  const { cache } = await fold(
    memory,
    planOf(memory, emptyPolicy, sample, sample.tokens, sample.tokens),
    sample,
    sample.tokens,
    sample.tokens,
  );
  const rows = await orThrow(read(memory)(cache));
  await orThrow(dispose(memory)(cache));
  return rows;
}

onEveryBackend("what SnapKV keeps does not depend on how the prompt was cut into chunks", (memory) =>
  fc.assert(
    fc.asyncProperty(samples(24), fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 24 }), async (sample, a, b) => {
      const policy = snapKv({ rows: 6, window: Math.min(3, sample.tokens), kernel: 3 });
      const keptBy = async (chunk: number): Promise<ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>> => {
        const { cache } = await fold(memory, planOf(memory, policy, sample, sample.tokens, chunk), sample, sample.tokens, chunk);
        const { layers } = await orThrow(read(memory)(cache));
        await orThrow(dispose(memory)(cache));
        return layers.map((heads) => heads.map((h) => [...h.positions]));
      };
      assertEquals(await keptBy(a), await keptBy(b));
    }),
    // A fixed seed: backends that are not the reference round by chunk size, and a near tie may then fall either way.
    { numRuns: 200, seed: 7 },
  ));

onEveryBackend("a streaming budget bounds memory during prefill: bound plus one chunk of rows", async (memory) => {
  const [budget, chunk, tokens] = [32, 16, 512];
  const sample = sampleOf(2, 2, 1, 4, tokens, 3);
  const plan = planOf(memory, streaming(streamingLlm({ rows: budget, sinks: 4 })), sample, tokens, chunk);
  let [cache, peak] = [await orThrow(openCache(memory, plan, sample.shape)), 0];
  for (let from = 0; from < tokens; from += chunk) {
    cache = (await orThrow(apply(memory, plan, { _tag: "AfterChunk", m: chunk })(cache, tokensOf(sample, from, from + chunk)))).cache;
    peak = Math.max(peak, bytesOf(cache).total);
  }
  assertEquals(rowsPerHead(cache), [[32, 32], [32, 32]]);
  const row = 4 * 4 * 2 + 4;
  // Three buffers and a layout of 24 bytes per layer, each rounded up.
  assertLessOrEqual(peak, 2 * 2 * (budget + chunk) * row + 2 * 4 * Math.max(24, memory.backend.caps.alignment));
  await orThrow(dispose(memory)(cache));
});

onEveryBackend(
  "children of one cache go their own way under an evicting policy; the parent and the sibling stay as they were",
  async (memory) => {
    const sample = sampleOf(2, 2, 2, 4, 40, 5);
    const plan = planOf(memory, h2o({ rows: 12, recent: 4 }), sample, 20, 10);
    const { cache: parent } = await fold(memory, plan, sample, 20, 10);
    const before = seen(await orThrow(read(memory)(parent)));
    const [one, two] = [await orThrow(fork(memory)(parent)), await orThrow(fork(memory)(parent))];
    const grown = await orThrow(apply(memory, plan, { _tag: "AfterStep", every: [] })(one, tokensOf(sample, 7, 8)));
    assertEquals(rowsPerHead(grown.cache).flat(), [12, 12, 12, 12]);
    assertEquals(seen(await orThrow(read(memory)(two))), before);
    const parentGrown = await orThrow(apply(memory, plan, { _tag: "AfterStep", every: [] })(parent, tokensOf(sample, 8, 9)));
    assertEquals(seen(await orThrow(read(memory)(two))), before);
    const again = await orThrow(apply(memory, plan, { _tag: "AfterStep", every: [] })(two, tokensOf(sample, 7, 8)));
    assertEquals(seen(await orThrow(read(memory)(again.cache))), seen(await orThrow(read(memory)(grown.cache))));
    for (const cache of [parentGrown.cache, again.cache, grown.cache]) await orThrow(dispose(memory)(cache));
    assertEquals(memory.backend.liveBytes().buffers, 0);
  },
);

onEveryBackend("forks of a cache that is only read and extended copy no row", async (memory) => {
  const sample = sampleOf(1, 2, 1, 4, 30, 9);
  const { cache } = await fold(memory, planOf(memory, emptyPolicy, sample, 30, 30), sample, 30, 30);
  const held = memory.backend.liveBytes().buffers;
  const children = [];
  for (let i = 0; i < 5; i++) children.push(await orThrow(fork(memory)(cache)));
  // A fork holds its layouts: two tiers of two heads, 24 bytes each, rounded to at most 256.
  assertLessOrEqual(memory.backend.liveBytes().buffers - held, 5 * 2 * 256);
  for (const child of children) await orThrow(dispose(memory)(child));
  await orThrow(dispose(memory)(cache));
});
