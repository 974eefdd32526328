/**
 * DiffKV by its spec: which tier a row goes to, bytes a row, counts while decoding, and thresholds that only ever save.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { bytesOf, codecOf, type KvCache, rowBytes, type RowCodec, uniformShape } from "../cache/mod.ts";
import { diffKv, type DiffKvOptions } from "../papers/mod.ts";
import { apply, compress, dispose, fromDense, type Memory, openCache, orThrow, read } from "../run/mod.ts";
import { planOf, tokensOf } from "./fold_support.ts";
import { onEveryBackend, sampleOf } from "./support.ts";

/** Rows per tier of the first head: those in coarse codes, those in fine ones. */
const tiersOf = (cache: KvCache): ReadonlyArray<number> =>
  cache.layers[0]?._tag === "Own" ? cache.layers[0].tiers.map((t) => t.segments[0]?.length ?? 0) : [];

Deno.test("bytes of a token and head are those of the paper's code: codes, scale and offset, score and position", () => {
  const bytes = (keys: RowCodec, values: RowCodec): number => rowBytes(codecOf(keys), 128) + rowBytes(codecOf(values), 128) + 4 + 4;
  const table = [["q8", "q8"], ["q8", "q4"], ["q8", "q4g64"], ["q4", "q4"], ["q8", "q2"], ["q4", "q2"], ["q4g64", "q2g32"]] as const;
  assertEquals(table.map(([keys, values]) => bytes(keys, values)), [272, 208, 212, 144, 176, 112, 128]);
  assertEquals(table.map(([keys, values]) => bytes(keys, values) * 8 / 256), [8.5, 6.5, 6.625, 4.5, 5.5, 3.5, 4]);
});

/** A head whose last two queries pay this attention: key channel i holds the logarithms for query i. */
async function judged(memory: Memory, significance: ReadonlyArray<number>, options: Partial<DiffKvOptions>) {
  const [n, dim] = [significance.length, 32];
  const keys = new Float32Array(n * dim);
  significance.forEach((p, i) => keys.set([Math.log(p), Math.log(p)], i * dim));
  const shape = uniformShape({ layers: 1, queryHeads: 1, kvHeads: 1, headDim: dim, scale: 1 });
  const queries = new Float32Array(2 * dim);
  queries.set([1], 0);
  queries.set([1], dim + 1);
  const cache = await orThrow(fromDense(memory)({ shape, layers: [{ keys, values: new Float32Array(n * dim).fill(1) }] }));
  const pruned = await orThrow(
    compress(memory, diffKv({ window: 2, ...options }))(cache, { queries: [queries], positions: [n - 2, n - 1] }),
  );
  const positions = [...(await orThrow(read(memory)(pruned))).layers[0]?.[0]?.positions ?? []];
  const tiers = tiersOf(pruned);
  for (const value of [cache, pruned]) await orThrow(dispose(memory)(value));
  return { positions, tiers };
}

/** The worked example, N = 8 and W = 2; what the window's rows receive makes up the sum. */
const example = [0.4, 0.02, 0.3, 0.011, 0.19, 0.01, 0.035, 0.034];

onEveryBackend("the worked example: high, low, high, pruned, high, pruned, window", async (memory) => {
  assertEquals(await judged(memory, example, { high: 1, low: 0.1 }), { positions: [0, 1, 2, 4, 6, 7], tiers: [1, 5] });
  // With thresholds over a row's place: low, pruned, low, pruned, low, pruned, window.
  assertEquals(await judged(memory, example, { high: 1, low: 0.1, base: "place" }), { positions: [0, 2, 4, 6, 7], tiers: [3, 2] });
  assertEquals(await judged(memory, example, { high: 0, low: 0 }), { positions: [0, 1, 2, 3, 4, 5, 6, 7], tiers: [0, 8] });
  assertEquals(await judged(memory, example, { high: 0.1, low: 0.1 }), { positions: [0, 1, 2, 4, 6, 7], tiers: [0, 6] });
});

onEveryBackend("higher thresholds never hold more bytes, and memory of rows that leave is given back", async (memory) => {
  const sample = sampleOf(1, 2, 2, 32, 40, 5);
  const positions = Array.from({ length: 40 }, (_, i) => i);
  const cache = await orThrow(fromDense(memory)(sample.dense));
  const before = memory.backend.liveBytes().buffers;
  await fc.assert(
    fc.asyncProperty(fc.nat(30), fc.nat(30), fc.nat(10), fc.nat(10), async (high, low, more, less) => {
      const held: number[] = [];
      for (const [h, l] of [[high, low], [high + more, low + less]] as const) {
        const policy = diffKv({ high: h / 10, low: l / 10, window: 8 });
        const pruned = await orThrow(compress(memory, policy)(cache, { queries: sample.queries, positions }));
        const { rows, columns, positions: words, slack } = bytesOf(pruned);
        held.push(rows + columns + words);
        assert(slack <= 6 * 64, "rounding of buffers is all that is free");
        await orThrow(dispose(memory)(pruned));
      }
      assert((held[1] ?? 0) <= (held[0] ?? 0), `${held}`);
      assertEquals(memory.backend.liveBytes().buffers, before);
    }),
    { numRuns: 12, seed: 3 },
  );
  await orThrow(dispose(memory)(cache));
});

onEveryBackend("a decoded token adds one row to at most one tier of a head, and positions ascend", async (memory) => {
  const sample = sampleOf(1, 1, 2, 32, 60, 9);
  const plan = planOf(memory, diffKv({ high: 1.1, low: 0.7, window: 4 }), sample, 24, 24);
  let cache = (await orThrow(
    apply(memory, plan, { _tag: "AfterChunk", m: 24 })(
      await orThrow(openCache(memory, plan, sample.shape)),
      tokensOf(sample, 0, 24),
    ),
  )).cache;
  cache = (await orThrow(apply(memory, plan, { _tag: "PrefillEnd" })(cache, null))).cache;
  const moves = new Set<string>();
  for (let t = 24; t < 60; t++) {
    const before = tiersOf(cache);
    cache = (await orThrow(apply(memory, plan, { _tag: "AfterStep", every: [] })(cache, tokensOf(sample, t, t + 1)))).cache;
    const change = tiersOf(cache).map((n, i) => n - (before[i] ?? 0));
    moves.add(change.join());
    const seen = [...(await orThrow(read(memory)(cache))).layers[0]?.[0]?.positions ?? []];
    assertEquals(seen, [...new Set(seen)].sort((a, b) => a - b));
    const [store] = cache.layers[0]?._tag === "Own" ? cache.layers[0].tiers : [];
    const stored = new Uint32Array(
      (await orThrow(memory.backend.read(store?.storage.position ?? cache.layout, 0, 4 * (tiersOf(cache)[0] ?? 0)))).slice().buffer,
    );
    assertEquals([...stored], [...stored].sort((a, b) => a - b));
  }
  // Changes of coarse and fine rows: appended; a victim passes on; it passes on in the place of one that leaves, or leaves itself.
  for (const move of moves) assert(["0,1", "1,0", "0,0"].includes(move), move);
  assert(moves.size > 1, [...moves].join(" "));
  await orThrow(dispose(memory)(cache));
});
