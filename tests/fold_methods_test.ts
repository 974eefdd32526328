/**
 * Methods that keep state or look at queries, folded over a prompt and decoded tokens, against their definition in plain
 * arrays and f64.
 * @module
 */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { h2o, streamingLlm, tova } from "../papers/mod.ts";
import { type Policy, streaming } from "../policy/mod.ts";
import { dispose, type HeadRows, orThrow, read } from "../run/mod.ts";
import { fold, planOf } from "./fold_support.ts";
import { onEveryBackend, type Sample, sampleOf } from "./support.ts";

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
