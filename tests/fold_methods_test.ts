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

/** Rows that stay, and how far the worst of them scored above the best that leave. */
interface Choice {
  readonly rows: ReadonlyArray<number>;
  readonly margin: number;
}

/** A method by its definition: what one KV head with more rows than the budget keeps. */
interface Oracle {
  readonly name: string;
  readonly policy: (budget: number) => Policy;
  readonly afterChunk: boolean;
  readonly kept: (budget: number, state: State) => Choice;
}

interface State {
  readonly rows: ReadonlyArray<number>;
  /** Accumulated attention by position, mean over the query heads that share the KV head. */
  readonly mass: ReadonlyMap<number, number>;
  /** Attention of the newest query, mean over all query heads of the layer. */
  readonly newest: ReadonlyMap<number, number>;
}

function top(rows: ReadonlyArray<number>, scores: ReadonlyMap<number, number>, count: number): Choice {
  const score = (p: number): number => scores.get(p) ?? 0;
  const order = [...rows].sort((a, b) => score(b) - score(a) || a - b);
  const [worst, best] = [order[count - 1], order[count]];
  return { rows: order.slice(0, count), margin: worst === undefined || best === undefined ? Infinity : score(worst) - score(best) };
}

const sinkAndRecent = (b: number, { rows }: State): Choice => ({
  rows: [...rows.filter((p) => p < 1), ...rows.filter((p) => p >= 1).slice(1 - b)],
  margin: Infinity,
});

function heavyAndNewest(b: number, { rows, mass }: State): Choice {
  const heavy = top(rows.slice(0, -1), mass, b - 1);
  return { ...heavy, rows: [...heavy.rows, ...rows.slice(-1)] };
}

const oracles: ReadonlyArray<Oracle> = [
  { name: "StreamingLLM", policy: (b) => streamingLlm({ rows: b, sinks: 1 }), afterChunk: false, kept: sinkAndRecent },
  {
    name: "StreamingLLM while it streams",
    policy: (b) => streaming(streamingLlm({ rows: b, sinks: 1 })),
    afterChunk: true,
    kept: sinkAndRecent,
  },
  { name: "H2O", policy: (b) => h2o({ rows: b, recent: 1 }), afterChunk: false, kept: heavyAndNewest },
  { name: "H2O while it streams", policy: (b) => streaming(h2o({ rows: b, recent: 1 })), afterChunk: true, kept: heavyAndNewest },
  { name: "TOVA", policy: (b) => tova({ rows: b }), afterChunk: false, kept: (b, { rows, newest }) => top(rows, newest, b) },
];

/** Softmax of one query over the rows at `positions` that it sees. */
function weights(query: Float32Array, key: (p: number) => Float32Array, positions: ReadonlyArray<number>, at: number, scale: number) {
  const visible = positions.filter((p) => p <= at);
  const scores = visible.map((p) => scale * query.reduce((sum, x, d) => sum + x * (key(p)[d] ?? 0), 0));
  const total = scores.reduce((sum, s) => sum + Math.exp(s), 0);
  return visible.map((p, i): readonly [number, number] => [p, Math.exp(scores[i] ?? 0) / total]);
}

/** Every head after tokens [from, to) have come and attended. */
function see(sample: Sample, heads: ReadonlyArray<State>, from: number, to: number): ReadonlyArray<State> {
  const { kvHeads, queryHeads, keyDim, scale } = sample.shape.layers[0] ?? { kvHeads: 1, queryHeads: 1, keyDim: 1, scale: 1 };
  const group = queryHeads / kvHeads;
  const [keys, queries] = [sample.dense.layers[0]?.keys ?? new Float32Array(), sample.queries[0] ?? new Float32Array()];
  const key = (h: number) => (p: number) => keys.subarray((h * sample.tokens + p) * keyDim, (h * sample.tokens + p + 1) * keyDim);
  const query = (t: number, i: number) => queries.subarray((t * queryHeads + i) * keyDim, (t * queryHeads + i + 1) * keyDim);
  const added = Array.from({ length: to - from }, (_, i) => from + i);
  const rows = heads.map((s) => [...s.rows, ...added]);
  const newest = new Map<number, number>();
  const masses = heads.map((s) => new Map(s.mass));
  for (const t of added) {
    for (let i = 0; i < queryHeads; i++) {
      const h = Math.floor(i / group);
      for (const [p, w] of weights(query(t, i), key(h), rows[h] ?? [], t, scale)) {
        masses[h]?.set(p, (masses[h]?.get(p) ?? 0) + w / group);
        if (t === to - 1) newest.set(p, (newest.get(p) ?? 0) + w / queryHeads);
      }
    }
  }
  return heads.map((s, h) => ({ rows: rows[h] ?? s.rows, mass: masses[h] ?? s.mass, newest }));
}

/** What each KV head of a one-layer sample keeps in the end, by definition, and the smallest margin on the way. */
function simulate(sample: Sample, { kept, afterChunk }: Oracle, budget: number, prompt: number, chunk: number) {
  const kvHeads = sample.shape.layers[0]?.kvHeads ?? 1;
  let heads: ReadonlyArray<State> = Array.from({ length: kvHeads }, () => ({ rows: [], mass: new Map(), newest: new Map() }));
  let margin = Infinity;
  const evict = (): void => {
    const choices = heads.map((s) => s.rows.length <= budget ? { rows: s.rows, margin: Infinity } : kept(budget, s));
    margin = Math.min(margin, ...choices.map((c) => c.margin));
    heads = heads.map((s, h) => ({ ...s, rows: [...choices[h]?.rows ?? []].sort((a, b) => a - b) }));
  };
  for (let from = 0; from < prompt; from += chunk) {
    heads = see(sample, heads, from, Math.min(prompt, from + chunk));
    if (afterChunk) evict();
  }
  evict();
  for (let t = prompt; t < sample.tokens; t++) {
    heads = see(sample, heads, t, t + 1);
    evict();
  }
  return { rows: heads.map((s) => s.rows), margin };
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
          const expected = simulate(sample, oracle, budget, prompt, chunk);
          // Scores are sums of some ten f32 probabilities: closer than 1e-5 either choice is right.
          fc.pre(expected.margin > 1e-5);
          const plan = planOf(memory, oracle.policy(budget), sample, prompt, chunk);
          const { cache } = await fold(memory, plan, sample, prompt, chunk);
          const rows = await orThrow(read(memory)(cache));
          assertEquals((rows.layers[0] ?? []).map((h: HeadRows) => [...h.positions]), expected.rows);
          if (oracle.afterChunk) assertLessOrEqual(plan.layers[0]?.rowsBound ?? Infinity, budget);
          await orThrow(dispose(memory)(cache));
          assertEquals(memory.backend.liveBytes().buffers, 0);
        },
      ),
      { numRuns: 200 },
    ));
}
