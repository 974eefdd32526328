/**
 * Build blocks on caches of a host's own: codecs and shared layers.
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { bytesOf, checkCache, rowsKept, rowsPerHead } from "../cache/mod.ts";
import { and, block, build, encode, layerList, pipe, type Policy, policy, readFrom } from "../policy/mod.ts";
import { knorm } from "../papers/mod.ts";
import { append, apply, attend, compress, dispose, fork, openCache, orThrow, read } from "../run/mod.ts";
import { planOf, tokensOf } from "./fold_support.ts";
import { cacheOf, numbers, onEveryBackend, sampleOf, samples, seen } from "./support.ts";

const stored = (keys: "f16" | "f32", values: "f16" | "f32"): Policy => policy("stored", [block(build, [encode(keys, values)])]);
const shared = (layer: number, from: number): Policy => policy("shared", [block(build, [readFrom(from)], layerList([layer]))]);

onEveryBackend("storing as f16 rounds each number once, to nearest even; storing as f32 again changes nothing", (memory) =>
  fc.assert(
    fc.asyncProperty(samples(20), async (sample) => {
      const full = await cacheOf(memory, sample);
      const half = await orThrow(compress(memory, stored("f16", "f32"))(full));
      const wide = await orThrow(compress(memory, stored("f32", "f32"))(half));
      const [before, after] = [await orThrow(read(memory)(full)), await orThrow(read(memory)(half))];
      for (const [l, heads] of after.layers.entries()) {
        for (const [h, head] of heads.entries()) {
          const source = before.layers[l]?.[h];
          assertEquals([...head.keys], [...source?.keys ?? []].map(Math.f16round));
          assertEquals([...head.values], [...source?.values ?? []]);
        }
      }
      assertEquals(seen(await orThrow(read(memory)(wide))), seen(after));
      assertEquals(bytesOf(full).rows - bytesOf(half).rows, rowsKept(full) * 4 * 2);
      assertEquals([full, half, wide].reduce((sum, c) => sum + bytesOf(c).total, 0), memory.backend.liveBytes().buffers);
      for (const cache of [full, half, wide]) await orThrow(dispose(memory)(cache));
    }),
    { numRuns: 200 },
  ));

onEveryBackend("a layer that shares another's rows holds none, shows those, and attends to them with its own queries", async (memory) => {
  const sample = sampleOf(2, 2, 2, 4, 12, 3);
  const full = await cacheOf(memory, sample);
  const small = await orThrow(compress(memory, pipe(shared(1, 0), and(knorm({ rows: 5 }))))(full));
  assertEquals([rowsKept(small), rowsPerHead(small)], [10, [[5, 5], [5, 5]]]);
  const rows = await orThrow(read(memory)(small));
  assertEquals(rows.layers[1], rows.layers[0]);
  const query = (sample.queries[1] ?? new Float32Array()).slice(-16);
  const [own, other] = [await orThrow(attend(memory)(small, 1, query, [12])), await orThrow(attend(memory)(small, 0, query, [12]))];
  assertEquals(own, other);
  const again = await orThrow(compress(memory, knorm({ rows: 3 }))(small));
  assertEquals([rowsKept(again), again.layers[1]?._tag], [6, "Alias"]);
  for (const cache of [full, small, again]) assertEquals(checkCache(cache)._tag, "Right");
  const row = { keys: numbers(1, 8), values: numbers(2, 8) };
  const longer = await orThrow(append(memory)(again, { layers: [row, null] }));
  assertEquals((await append(memory)(again, { layers: [row, row] })())._tag, "Left");
  assertEquals(rowsPerHead(await orThrow(fork(memory)(longer))), [[4, 4], [4, 4]]);
});

onEveryBackend("the fold appends to the layers that own rows only", async (memory) => {
  const sample = sampleOf(2, 2, 2, 4, 12, 4);
  const plan = planOf(memory, shared(1, 0), sample, 12, 6);
  let cache = await orThrow(openCache(memory, plan, sample.shape));
  for (const from of [0, 6]) {
    const { count, layers } = tokensOf(sample, from, from + 6);
    const tokens = { count, layers: layers.map((layer, l) => l === 1 ? { ...layer, rows: null } : layer) };
    const { cache: next, attended } = await orThrow(apply(memory, plan, { _tag: "AfterChunk", m: 6 })(cache, tokens));
    cache = next;
    assertEquals(attended.map((a) => a.length), [6 * 4 * 4, 6 * 4 * 4]);
  }
  const rows = await orThrow(read(memory)(cache));
  const whole = await cacheOf(memory, sample);
  assertEquals(rows.layers[1], (await orThrow(read(memory)(whole))).layers[0]);
  assertEquals(bytesOf(cache).total + bytesOf(whole).total, memory.backend.liveBytes().buffers);
});
