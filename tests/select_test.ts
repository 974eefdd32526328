/**
 * Selection: what a query reads changes what it sees, and nothing else.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { uniformShape } from "../cache/mod.ts";
import type { KvCache } from "../cache/types.ts";
import { parsePolicy } from "../papers/mod.ts";
import { planPolicy } from "../plan/mod.ts";
import type { SplicePoint } from "../plan/types.ts";
import { block, evict, pipe, type Policy, policy, position, rows, select, step } from "../policy/mod.ts";
import { apply, dispose, fork, type HeadRows, type Memory, openCache, orThrow, read } from "../run/mod.ts";
import { numbers, onEveryBackend } from "./support.ts";

const total = 60;
const steps = 4;
const keys = numbers(7, total * 2 * 8);
const queries = numbers(8, total * 4 * 8);

/** Rows [kvHeads, count, dim] of these positions. */
const part = (from: number, count: number): Float32Array =>
  Float32Array.from([0, 1].flatMap((h) => [...keys.subarray((h * total + from) * 8, (h * total + from + count) * 8)]));

/** What the last steps attend to, and the rows that are there at the end. */
interface Seen {
  readonly attended: ReadonlyArray<Float32Array>;
  readonly rows: ReadonlyArray<HeadRows>;
}

/** Runs 60 tokens under a policy: by chunks up to `prompt`, then one by one; `forked` decodes on a fork. */
async function seen(memory: Memory, how: Policy, prompt = total - steps, forked = false): Promise<Seen> {
  const [shape, width] = [uniformShape({ layers: 1, queryHeads: 4, kvHeads: 2, headDim: 8 }), 4 * 8];
  const codec = { _tag: "Plain", dtype: "f32" } as const;
  const plan = await orThrow(planPolicy(how, { shape, backend: memory.backend, promptTokens: Math.max(1, prompt), chunk: 20, codec }));
  let cache: KvCache = await orThrow(openCache(memory, plan, shape));
  const attended: Float32Array[] = [];
  const go = async (point: SplicePoint, from: number, count: number): Promise<void> => {
    const own = queries.slice(from * width, (from + count) * width);
    const tokens = count === 0 ? null : { count, layers: [{ queries: own, rows: { keys: part(from, count), values: part(from, count) } }] };
    const done = await orThrow(apply(memory, plan, point)(cache, tokens));
    cache = done.cache;
    if (point._tag === "AfterStep") attended.push(...done.attended);
  };
  for (let from = 0; from < prompt; from += 20) {
    const m = Math.min(20, prompt - from);
    await go({ _tag: "AfterChunk", m }, from, m);
  }
  if (prompt > 0) await go({ _tag: "PrefillEnd" }, 0, 0);
  if (forked) {
    const second = await orThrow(fork(memory)(cache));
    await orThrow(dispose(memory)(cache));
    cache = second;
  }
  for (let t = prompt; t < total; t++) await go({ _tag: "AfterStep", every: [] }, t, 1);
  const { layers: [found = []] } = await orThrow(read(memory)(cache));
  await orThrow(dispose(memory)(cache));
  return { attended: attended.slice(-steps), rows: found };
}

const close = (a: Seen, b: Seen): void =>
  a.attended.forEach((one, i) =>
    one.forEach((x, c) =>
      assert(Math.abs(x - (b.attended[i]?.[c] ?? NaN)) < 1e-5, `step ${i}, number ${c}: ${x} and ${b.attended[i]?.[c]}`)
    )
  );
const text = (source: string): Promise<Policy> => orThrow(parsePolicy(source));

onEveryBackend("a selection of everything is full attention, bit for bit, and the cache is the same with any selection", async (memory) => {
  const full = await seen(memory, await text("keepall"));
  const all = await seen(memory, await text("quest(1024, page=4, dense=0)"));
  assertEquals(all, full);
  const few = await seen(memory, await text("quest(12, page=4, dense=0)"));
  assertEquals(few.rows, full.rows);
  assert(few.attended.some((out, i) => out.some((x, c) => x !== full.attended[i]?.[c])), "fewer rows are read");
});

onEveryBackend("reading the newest rows is what attending after the others have left is", async (memory) => {
  const newest = policy("newest", [block(step, [pipe(position, select(rows(9)))])]);
  // The row of a step is there before its query reads, so 8 rows of before and itself are 9.
  const left = policy("left", [
    block({ _tag: "PrefillEnd" }, [pipe(position, evict({ budget: rows(8) }))]),
    block(step, [pipe(position, evict({ budget: rows(8) }))]),
  ]);
  close(await seen(memory, newest), await seen(memory, left));
});

onEveryBackend("bounds of pages are the same whether rows came in chunks, one by one, or to a fork", async (memory) => {
  const quest = await text("quest(12, page=4, dense=0)");
  const [chunks, single, forked] = [
    await seen(memory, quest),
    await seen(memory, quest, 0),
    await seen(memory, quest, total - steps, true),
  ];
  close(single, chunks);
  close(forked, chunks);
  assertEquals([single.rows, forked.rows], [chunks.rows, chunks.rows]);
});

onEveryBackend("RocketKV evicts to the survivors of its split once, after the prompt; decoded rows stay", async (memory) => {
  const rocket = await text("rocketkv(16, length=60, answer=4, window=4, kernel=3)");
  const found = await seen(memory, rocket);
  assertEquals(found.rows.map(({ positions }) => positions.length), [35 + steps, 35 + steps]);
  assertEquals(found.rows.map(({ positions }) => [...positions].slice(-8)), [0, 1].map(() => [52, 53, 54, 55, 56, 57, 58, 59]));
});

onEveryBackend("RocketKV-MT reads what RocketKV reads where pages are rows, and keeps every row", async (memory) => {
  // A ratio of 1.875: pages of one row, 47 survivors of 56 tokens, 16 rows read.
  const split = "(32, length=60, answer=4, window=4, kernel=3)";
  const [one, many] = [
    await seen(memory, await text(`rocketkv${split}`), 56),
    await seen(memory, await text(`rocketkv_mt${split}`), 56),
  ];
  close(many, one);
  assertEquals([one, many].map(({ rows }) => rows.map(({ positions }) => positions.length)), [[51, 51], [60, 60]]);
});

onEveryBackend(
  "ClusterKV with room for everything is full attention, bit for bit; with less, rows stay and reads change",
  async (memory) => {
    const full = await seen(memory, await text("keepall"));
    const rest = "per=6, sinks=2, window=8, added=2, dense=0";
    const positionsOf = (of: Seen) => of.rows.map(({ positions, keys, values }) => [positions, keys, values]);
    const all = await seen(memory, await text(`clusterkv(1024, ${rest})`));
    assertEquals([all.attended, positionsOf(all)], [full.attended, positionsOf(full)]);
    const few = await seen(memory, await text(`clusterkv(12, ${rest})`));
    assertEquals(positionsOf(few), positionsOf(full));
    assert(few.attended.some((out, i) => out.some((x, c) => x !== full.attended[i]?.[c])), "fewer rows are read");
    close(await seen(memory, await text(`clusterkv(12, ${rest})`), total - steps, true), few);
  },
);

/** Attention of the last step's query heads over the rows of this choice, in f64. */
function attendedOver(rowsOf: ReadonlyArray<HeadRows>, chosen: (head: number) => ReadonlyArray<number>): ReadonlyArray<number> {
  const q = queries.subarray((total - 1) * 32, total * 32);
  return Array.from({ length: 4 }, (_, h) => {
    const { keys: k = new Float32Array(), values: v = new Float32Array() } = rowsOf[h >> 1] ?? {};
    const own = chosen(h >> 1);
    const logits = own.map((t) =>
      Array.from({ length: 8 }, (_, c) => (q[h * 8 + c] ?? 0) * (k[t * 8 + c] ?? 0)).reduce((a, b) => a + b) / Math.sqrt(8)
    );
    const weights = logits.map(Math.exp);
    const sum = weights.reduce((a, b) => a + b);
    return Array.from({ length: 8 }, (_, c) => own.reduce((acc, t, i) => acc + (weights[i] ?? 0) / sum * (v[t * 8 + c] ?? 0), 0));
  }).flat();
}

onEveryBackend(
  "ClusterKV reads sinks, unclustered rows, then whole clusters by their mean keys, the last one its oldest rows",
  async (memory) => {
    const found = await seen(memory, await text("clusterkv(20, per=6, sinks=2, window=8, added=2, dense=0)"));
    const q = queries.subarray((total - 1) * 32, total * 32);
    const choice = (h: number): ReadonlyArray<number> => {
      const k = found.rows[h]?.keys ?? new Float32Array();
      const labels = [...found.rows[h]?.columns["cluster"] ?? []];
      assertEquals(labels.filter((x) => x === -1).length, 2 + steps, "sinks and the decoded tokens have no cluster");
      const promises = [...new Set(labels)].filter((c) => c >= 0).map((c) => {
        const members = labels.flatMap((x, t) => x === c ? [t] : []);
        const mean = Array.from({ length: 8 }, (_, d) => members.reduce((sum, t) => sum + (k[t * 8 + d] ?? 0), 0) / members.length);
        const score = Math.max(...[0, 1].map((g) => mean.reduce((sum, x, d) => sum + x * (q[(2 * h + g) * 8 + d] ?? 0), 0)));
        return { members, score };
      }).toSorted((a, b) => b.score - a.score);
      const unlabelled = labels.flatMap((x, t) => x === -1 ? [t] : []);
      return [...unlabelled, ...promises.flatMap(({ members }) => members)].slice(0, 20);
    };
    const wanted = attendedOver(found.rows, choice);
    wanted.forEach((x, i) => assert(Math.abs(x - (found.attended.at(-1)?.[i] ?? NaN)) < 1e-5, `number ${i}`));
  },
);
