/**
 * The fold over tokens against a model in plain arrays and f64: prefill in any chunks, decode, eviction as it streams.
 * @module
 */
import { assertAlmostEquals, assertEquals, assertLessOrEqual } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { bytesOf, checkCache, type KvCache, rowsPerHead, showError } from "../cache/mod.ts";
import { planPolicy, type PolicyPlan, type SplicePoint } from "../plan/mod.ts";
import { emptyPolicy, type Policy, streaming } from "../policy/mod.ts";
import { h2o, snapKv, streamingLlm, tova } from "../papers/mod.ts";
import { apply, dispose, fork, type HeadRows, type Memory, openCache, orThrow, read, shrink, type Tokens } from "../run/mod.ts";
import { attendByHand, onEveryBackend, type Sample, sampleOf, samples, seen } from "./support.ts";

/** Tokens [from, to) of a sample. */
function tokensOf({ dense, shape, queries, tokens }: Sample, from: number, to: number): Tokens {
  return {
    count: to - from,
    layers: shape.layers.map(({ kvHeads, queryHeads, keyDim }, l) => {
      const cut = (x: Float32Array): Float32Array =>
        Float32Array.from(
          Array.from({ length: kvHeads }, (_, h) => [...x.subarray((h * tokens + from) * keyDim, (h * tokens + to) * keyDim)]).flat(),
        );
      const [rows, q] = [dense.layers[l], queries[l] ?? new Float32Array()];
      return {
        queries: q.slice(from * queryHeads * keyDim, to * queryHeads * keyDim),
        rows: rows === undefined ? null : { keys: cut(rows.keys), values: cut(rows.values) },
      };
    }),
  };
}

function planOf(memory: Memory, policy: Policy, sample: Sample, promptTokens: number, chunk: number): PolicyPlan {
  const plan = planPolicy(policy, {
    shape: sample.shape,
    backend: memory.backend,
    promptTokens,
    chunk,
    codec: { _tag: "Plain", dtype: "f32" },
  });
  if (E.isLeft(plan)) throw new Error(showError(plan.left));
  return plan.right;
}

interface Folded {
  readonly cache: KvCache;
  /** Attention of every token, per layer. */
  readonly attended: ReadonlyArray<ReadonlyArray<Float32Array>>;
}

/** Prefills `prompt` tokens in chunks, then decodes the others one by one. */
async function fold(memory: Memory, plan: PolicyPlan, sample: Sample, prompt: number, chunk: number): Promise<Folded> {
  let cache = await orThrow(openCache(memory, plan, sample.shape));
  const attended: (ReadonlyArray<Float32Array>)[] = [];
  const step = async (point: SplicePoint, from: number, to: number): Promise<void> => {
    const next = await orThrow(apply(memory, plan, point)(cache, to > from ? tokensOf(sample, from, to) : null));
    cache = next.cache;
    if (to > from) attended.push(next.attended);
    assertEquals(bytesOf(cache).total, memory.backend.liveBytes().buffers);
    assertEquals(checkCache(cache)._tag, "Right");
  };
  for (let from = 0; from < prompt; from += chunk) {
    const to = Math.min(prompt, from + chunk);
    await step({ _tag: "AfterChunk", m: to - from }, from, to);
  }
  await step({ _tag: "PrefillEnd" }, prompt, prompt);
  cache = await orThrow(shrink(memory)(cache));
  for (let t = prompt; t < sample.tokens; t++) await step({ _tag: "AfterStep", every: [] }, t, t + 1);
  return { cache, attended };
}

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

async function readWhole(memory: Memory, sample: Sample) {
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

/** A method by its definition: positions one KV head keeps. `attention(q, rows)` are a query's probabilities over positions,
 * mean over the query heads that share the KV head (`layer`: over all query heads of the layer, each with its own KV head). */
interface Oracle {
  readonly name: string;
  readonly policy: (budget: number) => Policy;
  readonly afterChunk: boolean;
  readonly kept: (budget: number, state: State) => ReadonlyArray<number>;
}

interface State {
  readonly rows: ReadonlyArray<number>;
  /** Accumulated attention by position. */
  readonly mass: ReadonlyMap<number, number>;
  /** Attention of the newest query, mean over the layer. */
  readonly newest: ReadonlyMap<number, number>;
  /** Positions seen. */
  readonly seen: number;
}

const top = (rows: ReadonlyArray<number>, score: (p: number) => number, count: number): ReadonlyArray<number> =>
  [...rows].sort((a, b) => score(b) - score(a) || a - b).slice(0, Math.max(0, count));

const oracles: ReadonlyArray<Oracle> = [
  {
    name: "StreamingLLM",
    policy: (b) => streamingLlm({ rows: b, sinks: 1 }),
    afterChunk: false,
    kept: (b, { rows }) => rows.length <= b ? rows : [...rows.filter((p) => p < 1), ...rows.filter((p) => p >= 1).slice(-(b - 1))],
  },
  {
    name: "StreamingLLM while it streams",
    policy: (b) => streaming(streamingLlm({ rows: b, sinks: 1 })),
    afterChunk: true,
    kept: (b, { rows }) => rows.length <= b ? rows : [...rows.filter((p) => p < 1), ...rows.filter((p) => p >= 1).slice(-(b - 1))],
  },
  {
    name: "H2O",
    policy: (b) => h2o({ rows: b, recent: 1 }),
    afterChunk: false,
    kept: (b, { rows, mass }) => [...top(rows.slice(0, -1), (p) => mass.get(p) ?? 0, b - 1), ...rows.slice(-1)],
  },
  {
    name: "H2O while it streams",
    policy: (b) => streaming(h2o({ rows: b, recent: 1 })),
    afterChunk: true,
    kept: (b, { rows, mass }) => [...top(rows.slice(0, -1), (p) => mass.get(p) ?? 0, b - 1), ...rows.slice(-1)],
  },
  {
    name: "TOVA",
    policy: (b) => tova({ rows: b }),
    afterChunk: false,
    kept: (b, { rows, newest }) => top(rows, (p) => newest.get(p) ?? 0, b),
  },
];

/** Softmax of one query over the rows at `positions` that it sees. */
function weights(query: Float32Array, key: (p: number) => Float32Array, positions: ReadonlyArray<number>, at: number, scale: number) {
  const visible = positions.filter((p) => p <= at);
  const scores = visible.map((p) => scale * query.reduce((sum, x, d) => sum + x * (key(p)[d] ?? 0), 0));
  const total = scores.reduce((sum, s) => sum + Math.exp(s), 0);
  return visible.map((p, i): readonly [number, number] => [p, Math.exp(scores[i] ?? 0) / total]);
}

/** What each KV head of a one-layer sample keeps after every token, by definition. */
function simulate(
  sample: Sample,
  { kept, afterChunk }: Oracle,
  budget: number,
  prompt: number,
  chunk: number,
): ReadonlyArray<ReadonlyArray<number>> {
  const shape = sample.shape.layers[0] ?? { kvHeads: 1, queryHeads: 1, keyDim: 1, scale: 1 };
  const { kvHeads, queryHeads, keyDim, scale } = shape;
  const group = queryHeads / kvHeads;
  const keys = sample.dense.layers[0]?.keys ?? new Float32Array();
  const key = (h: number) => (p: number) => keys.subarray((h * sample.tokens + p) * keyDim, (h * sample.tokens + p + 1) * keyDim);
  const query = (t: number, i: number) =>
    (sample.queries[0] ?? new Float32Array()).subarray((t * queryHeads + i) * keyDim, (t * queryHeads + i + 1) * keyDim);
  let heads: ReadonlyArray<State> = Array.from({ length: kvHeads }, () => ({ rows: [], mass: new Map(), newest: new Map(), seen: 0 }));
  const see = (from: number, to: number): void => {
    const added = Array.from({ length: to - from }, (_, i) => from + i);
    const longer = heads.map((s) => ({ ...s, rows: [...s.rows, ...added], seen: to }));
    const newest = new Map<number, number>();
    const masses = longer.map((s) => new Map(s.mass));
    for (const t of added) {
      for (let i = 0; i < queryHeads; i++) {
        const h = Math.floor(i / group);
        for (const [p, w] of weights(query(t, i), key(h), longer[h]?.rows ?? [], t, scale)) {
          masses[h]?.set(p, (masses[h]?.get(p) ?? 0) + w / group);
          if (t === to - 1) newest.set(p, (newest.get(p) ?? 0) + w / queryHeads);
        }
      }
    }
    heads = longer.map((s, h) => ({ ...s, mass: masses[h] ?? s.mass, newest }));
  };
  const evict = (): void => {
    heads = heads.map((s) => ({ ...s, rows: s.rows.length <= budget ? s.rows : [...kept(budget, s)].sort((a, b) => a - b) }));
  };
  for (let from = 0; from < prompt; from += chunk) {
    see(from, Math.min(prompt, from + chunk));
    if (afterChunk) evict();
  }
  evict();
  for (let t = prompt; t < sample.tokens; t++) {
    see(t, t + 1);
    evict();
  }
  return heads.map((s) => s.rows);
}

for (const oracle of oracles) {
  onEveryBackend(`${oracle.name}: prefill in chunks and decode keep what the definition keeps`, (memory) =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 2 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 8 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 2, max: 12 }),
        fc.nat(),
        async (heads, group, prompt, decoded, chunk, budget, seed) => {
          const sample = sampleOf(1, heads, group, 4, prompt + decoded, seed);
          const plan = planOf(memory, oracle.policy(budget), sample, prompt, chunk);
          const { cache } = await fold(memory, plan, sample, prompt, chunk);
          const rows = await orThrow(read(memory)(cache));
          assertEquals((rows.layers[0] ?? []).map((h: HeadRows) => [...h.positions]), simulate(sample, oracle, budget, prompt, chunk));
          if (oracle.afterChunk) assertLessOrEqual(plan.layers[0]?.rowsBound ?? Infinity, budget);
          await orThrow(dispose(memory)(cache));
          assertEquals(memory.backend.liveBytes().buffers, 0);
        },
      ),
      { numRuns: 200 },
    ));
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
    { numRuns: 200 },
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
  // 64 bytes: layouts, rounded.
  assertLessOrEqual(peak, 2 * 2 * (budget + chunk) * row + 64);
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
