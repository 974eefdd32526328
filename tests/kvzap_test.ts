/**
 * Admission on window exit: which rows stay, for scores that are given by hand or at random, however the tokens come in.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { uniformShape } from "../cache/mod.ts";
import type { KvCache } from "../cache/types.ts";
import { planPolicy } from "../plan/mod.ts";
import type { SplicePoint } from "../plan/types.ts";
import { admit, append, block, neg, norm, onExit, pipe, type Policy, policy } from "../policy/mod.ts";
import { apply, dispose, type Memory, openCache, orThrow, read } from "../run/mod.ts";
import { onEveryBackend } from "./support.ts";

const largest = 3.4028234663852886e38;
const heads = 2;
const shape = uniformShape({ layers: 1, queryHeads: heads, kvHeads: heads, headDim: 2 });

/** Rows score minus the norm of their key: for a key (k, 0) that is -|k|. */
const rule = (window: number, threshold: number, sinks = 0): Policy =>
  policy("zap", [block(window === 0 ? append : onExit(window), [pipe(norm("keys", "l1"), neg, admit(threshold, sinks))])]);

/** Chunks of these sizes; a size of 0 is one decoded token. */
type Sizes = ReadonlyArray<number>;

/** Positions kept per head after tokens of these scores (per head) came in by these sizes. */
async function keptBy(
  memory: Memory,
  how: Policy,
  scores: ReadonlyArray<ReadonlyArray<number>>,
  sizes: Sizes,
): Promise<ReadonlyArray<ReadonlyArray<number>>> {
  const total = scores[0]?.length ?? 0;
  const target = {
    shape,
    backend: memory.backend,
    promptTokens: total,
    chunk: Math.max(1, ...sizes),
    codec: { _tag: "Plain", dtype: "f32" },
  } as const;
  const plan = await orThrow(planPolicy(how, target));
  let cache: KvCache = await orThrow(openCache(memory, plan, shape));
  let from = 0;
  for (const size of sizes) {
    const count = Math.max(1, size);
    const point: SplicePoint = size === 0 ? { _tag: "AfterStep", every: [] } : { _tag: "AfterChunk", m: count };
    const keys = Float32Array.from(scores.flatMap((of) => of.slice(from, from + count).flatMap((s) => [-s, 0])));
    const queries = new Float32Array(count * heads * 2);
    cache = (await orThrow(apply(memory, plan, point)(cache, { count, layers: [{ queries, rows: { keys, values: keys } }] }))).cache;
    from += count;
  }
  const { layers: [found = []] } = await orThrow(read(memory)(cache));
  for (const [h, head] of found.entries()) {
    assertEquals(
      [...head.keys],
      [...head.positions].flatMap((p) => [Math.fround(-(scores[h]?.[p] ?? NaN)), 0]),
      "rows are those of their positions",
    );
  }
  await orThrow(dispose(memory)(cache));
  return found.map((head) => [...head.positions]);
}

/** The definition: of the rows outside the window, those of a score below the threshold have left. */
const expected = (scores: ReadonlyArray<number>, window: number, threshold: number, sinks: number): ReadonlyArray<number> =>
  scores.flatMap((s, t) => t < sinks || t >= scores.length - window || Math.fround(s) >= Math.fround(threshold) ? [t] : []);

onEveryBackend("the worked example: window 2, threshold -4, then two decoded tokens", async (memory) => {
  const prompt = [-5, -3, -6, -1, -9];
  const other = [-9, -9, -9, -9, -9];
  const kept = (more: ReadonlyArray<number>, sizes: Sizes) =>
    keptBy(memory, rule(2, -4), [[...prompt, ...more], [...other, ...more]], sizes);
  assertEquals(await kept([], [5]), [[1, 3, 4], [3, 4]]);
  assertEquals(await kept([-2], [5, 0]), [[1, 3, 4, 5], [4, 5]]);
  assertEquals(await kept([-2, -8], [5, 0, 0]), [[1, 3, 5, 6], [5, 6]]);
});

onEveryBackend("a score exactly at the threshold stays, the next smaller f32 leaves", async (memory) => {
  const below = -4 * (1 + 2 ** -22);
  assertEquals(await keptBy(memory, rule(1, -4), [[-4, below, -4, 0], [below, below, -4, 0]], [4]), [[0, 2, 3], [2, 3]]);
});

onEveryBackend("the lowest threshold is the identity, the highest a sliding window, and sinks stay under both", async (memory) => {
  const scores = [[-7, -1, -30, -2, -5], [-1, -1, -1, -1, -1e30]];
  assertEquals(await keptBy(memory, rule(2, -largest), scores, [3, 0, 0]), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]);
  assertEquals(await keptBy(memory, rule(2, largest), scores, [3, 0, 0]), [[3, 4], [3, 4]]);
  assertEquals(await keptBy(memory, rule(2, largest, 1), scores, [3, 0, 0]), [[0, 3, 4], [0, 3, 4]]);
  assertEquals(await keptBy(memory, rule(0, largest), scores, [5]), [[], []]);
});

onEveryBackend("a NaN score leaves, as if it were below every threshold", async (memory) => {
  assertEquals(await keptBy(memory, rule(1, -largest), [[-1, NaN, -3], [NaN, -2, -3]], [3]), [[0, 2], [1, 2]]);
});

/** Scores of few different values, so that many are equal to the threshold, and any way to cut the tokens. */
const anyRun = fc.tuple(
  fc.array(fc.tuple(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 8 })), { minLength: 1, maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 40 }),
  fc.nat(12),
  fc.integer({ min: -9, max: 1 }),
  fc.nat(3),
);

/** The sizes cut or filled up to the number of tokens. */
function fitted(sizes: Sizes, total: number): Sizes {
  const out: number[] = [];
  let left = total;
  for (const size of [...sizes, total]) {
    if (left === 0) break;
    out.push(Math.min(size, left));
    left -= Math.max(1, Math.min(size, left));
  }
  return out;
}

onEveryBackend(
  "200 random runs: any cutting into chunks and tokens drops exactly the rows outside the window below the threshold",
  async (memory) => {
    await fc.assert(
      fc.asyncProperty(anyRun, async ([pairs, cuts, window, threshold, sinks]) => {
        const scores = [pairs.map(([a]) => -a), pairs.map(([, b]) => -b)];
        const kept = await keptBy(memory, rule(window, threshold, sinks), scores, fitted(cuts, pairs.length));
        assertEquals(kept, scores.map((of) => expected(of, window, threshold, sinks)));
      }),
      { numRuns: 200 },
    );
  },
);

onEveryBackend("a higher threshold drops what a lower one drops, and more", async (memory) => {
  const scores = [Array.from({ length: 30 }, (_, i) => -(i * 7 % 11)), Array.from({ length: 30 }, (_, i) => -(i * 5 % 13))];
  const kept: (ReadonlyArray<ReadonlyArray<number>>)[] = [];
  for (const threshold of [-8, -5, -2]) kept.push(await keptBy(memory, rule(4, threshold), scores, [10, 10, 10]));
  for (const [i, later] of kept.slice(1).entries()) {
    for (const [h, positions] of later.entries()) {
      assert(positions.every((p) => kept[i]?.[h]?.includes(p)) && positions.length < (kept[i]?.[h]?.length ?? 0));
    }
  }
});

/** The f32 after a positive one: a rule that wants more than a threshold is one that wants at least this. */
function nextUp(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  return new Float32Array(bits.map((b) => b + 1).buffer)[0] ?? NaN;
}

onEveryBackend("a strict threshold is the next f32: the worked trace of Write-Gated KV, window 2, gates above 0.1", async (memory) => {
  const gates = [0.9, 0.05, 0.5, 0.1, 0.3, 0.02, 0.8, 0.5];
  // The norm of the key (gate, 0) is the gate.
  const how = policy("gated", [block(onExit(2), [pipe(norm("keys", "l1"), admit(nextUp(0.1)))])]);
  const after = async (count: number, sizes: Sizes) =>
    (await keptBy(memory, how, [gates.slice(0, count), gates.slice(0, count)], sizes))[0];
  assertEquals(await after(6, [6]), [0, 2, 4, 5]);
  assertEquals(await after(7, [6, 0]), [0, 2, 4, 5, 6]);
  assertEquals(await after(8, [6, 0, 0]), [0, 2, 4, 6, 7]);
  assertEquals(await after(8, [0, 0, 0, 0, 0, 0, 0, 0]), await after(8, [8]));
});
