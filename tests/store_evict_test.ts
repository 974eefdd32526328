/**
 * Evicting where rows have passed on to a store: a store of the same numbers changes no choice, whatever the method looks at, and codes per
 * token are pruned before or after they are coded alike.
 * @module
 */
import { assertEquals } from "@std/assert";
import { parsePolicy } from "../papers/mod.ts";
import { dispose, orThrow, read } from "../run/mod.ts";
import { fold, planOf } from "./fold_support.ts";
import { onEveryBackend, type Sample, sampleOf, seen } from "./support.ts";
import type { Memory } from "../run/mod.ts";

/** Methods that evict while text is read or decoded, by every kind of score. */
const methods = [
  "h2o(9)",
  "tova(7)|decoding",
  "snapkv(8, window=3, kernel=3, decode=yes)",
  "knorm(9)|streaming",
  "keydiff(10)|streaming",
  "lagkv(12, sinks=1, lag=3)|streaming",
  "knorm(9)|ada(20%)|streaming",
  "knorm(12)|critical(50%)|streaming",
  "rkv(9, buffer=2, window=3)",
  "streamingllm(9, sinks=2)|streaming",
] as const;

/** What is seen of a cache after a fold, and its rows per tier. */
async function run(memory: Memory, text: string, sample: Sample): Promise<readonly [rows: unknown, tiers: unknown]> {
  const { cache } = await fold(memory, planOf(memory, await orThrow(parsePolicy(text)), sample, 18, 6), sample, 18, 6);
  const rows = seen(await orThrow(read(memory)(cache)));
  const tiers = cache.layers.map((layer) => layer._tag === "Own" ? layer.tiers.map((t) => t.segments.map(({ length }) => length)) : []);
  await orThrow(dispose(memory)(cache));
  assertEquals(memory.backend.liveBytes().buffers, 0);
  return [rows, tiers];
}

onEveryBackend("a store of the same numbers changes no choice of any method", async (memory) => {
  for (const [seed, method] of methods.entries()) {
    for (const store of ["encode(f32, values=f32, at=append)", "encode(f32, values=f32, at=prefill, recent=3)"]) {
      const sample = sampleOf(2, 2, 2, 4, 30, seed + 1);
      const [stored] = await run(memory, `${method}+${store}`, sample);
      assertEquals(stored, (await run(memory, method, sample))[0], `${method}+${store}`);
    }
  }
});

onEveryBackend("pruning before and after coding per token give the same rows, and the budget holds in codes", async (memory) => {
  const sample = sampleOf(2, 2, 2, 32, 30, 3);
  const [before, tiers] = await run(memory, "streamingllm(9, sinks=2)|streaming+encode(q8, values=q4g32, at=append)", sample);
  const [after] = await run(
    memory,
    "streamingllm(9, sinks=2)+encode(q8, values=q4g32, at=append)+streamingllm(9, sinks=2)|at(step)",
    sample,
  );
  assertEquals(after, before);
  assertEquals(tiers, [[[9, 9], [0, 0]], [[9, 9], [0, 0]]]);
});
