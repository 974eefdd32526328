/**
 * Every paper against its rule written down a second time, in plain f64 loops over the definition, on random caches. A kept set
 * is right if it has the exact size, holds the protected rows, and no row that left scores above one that stayed by more than
 * the rounding of f32 attention.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { adaKv, expectedAttention, h2o, keyDiff, knorm, snapKv, streamingLlm, tova } from "../papers/mod.ts";
import { percent, pipe, type Policy, ratio } from "../policy/mod.ts";
import { compress, dispose, type Memory, orThrow, read } from "../run/mod.ts";
import { uniformShape } from "../cache/mod.ts";
import { cacheOf, onEveryBackend, type Sample, samples } from "./support.ts";

/** f32 sums of up to 40 probabilities, exp within a few ulp: errors of about 1e-6; scores are at most 40. */
const tolerance = 1e-4;

/** One layer as the definitions see it. */
interface Layer {
  readonly n: number;
  readonly heads: number;
  readonly group: number;
  /** Key of KV head h at row t. */
  readonly key: (h: number, t: number) => ReadonlyArray<number>;
  /** Value of KV head h at row t. */
  readonly value: (h: number, t: number) => ReadonlyArray<number>;
  /** Query i of query head g of KV head h, after rotation. */
  readonly query: (h: number, g: number, i: number) => ReadonlyArray<number>;
  /** The vector rotated by so many positions. */
  readonly turned: (x: ReadonlyArray<number>, by: number) => ReadonlyArray<number>;
  readonly scale: number;
  /** Attention probability of query head g of KV head h, query i on row j. */
  readonly p: (h: number, g: number, i: number, j: number) => number;
}

const range = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i);
const sum = (xs: ReadonlyArray<number>): number => xs.reduce((a, b) => a + b, 0);
const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => sum(a.map((x, i) => x * (b[i] ?? 0)));
const length = (a: ReadonlyArray<number>): number => Math.sqrt(dot(a, a));

function layerOf({ shape, dense, queries, tokens: n }: Sample, l: number): Layer {
  const { kvHeads: heads = 0, queryHeads = 0, keyDim: dim = 0, scale = 0, rope = { theta: 1, dims: 0 } } = shape.layers[l] ?? {};
  const group = queryHeads / heads;
  const cut = (from: Float32Array | undefined, at: number) => [...from?.subarray(at * dim, (at + 1) * dim) ?? []];
  const key = (h: number, t: number) => cut(dense.layers[l]?.keys, h * n + t);
  const rows = range(queryHeads).map((q) =>
    range(n).map((i) => {
      const query = cut(queries[l], i * queryHeads + q);
      const weights = range(i + 1).map((j) => Math.exp(scale * dot(query, key(Math.floor(q / group), j))));
      const total = sum(weights);
      return weights.map((w) => w / total);
    })
  );
  const value = (h: number, t: number) => cut(dense.layers[l]?.values, h * n + t);
  const query = (h: number, g: number, i: number) => cut(queries[l], i * queryHeads + h * group + g);
  const half = rope.dims / 2;
  const turned = (x: ReadonlyArray<number>, by: number) =>
    x.map((own, c) => {
      if (c >= rope.dims) return own;
      const angle = by * rope.theta ** (-2 * (c % half) / rope.dims);
      const other = x[c < half ? c + half : c - half] ?? 0;
      return own * Math.cos(angle) + (c < half ? -other : other) * Math.sin(angle);
    });
  return { n, heads, group, key, value, query, turned, scale, p: (h, g, i, j) => rows[h * group + g]?.[i]?.[j] ?? 0 };
}

/** Scores of the rows of each head, and which rows are out of competition. */
interface Rule {
  readonly policy: Policy;
  readonly budget: number;
  readonly score: (layer: Layer, h: number) => ReadonlyArray<number>;
  readonly safe: (row: number, n: number) => boolean;
}

const none = () => false;
const mean = (xs: ReadonlyArray<number>): number => sum(xs) / xs.length;

const pooled = (votes: ReadonlyArray<number>, kernel: number, by: "max" | "mean"): ReadonlyArray<number> =>
  votes.map((_, j) => {
    const near = range(kernel).flatMap((k) => votes[j + k - (kernel - 1) / 2] ?? []);
    return by === "max" ? Math.max(...near) : sum(near) / kernel;
  });

/** The rules, for a budget of `b` rows, a window of `w`, a pooling kernel `k`. */
const rules = (b: number, w: number, k: number, by: "max" | "mean"): ReadonlyArray<Rule> => [
  {
    policy: streamingLlm({ rows: b, sinks: Math.min(w, b) }),
    budget: b,
    score: ({ n }) => range(n),
    safe: (row) => row < Math.min(w, b),
  },
  { policy: knorm({ rows: b }), budget: b, score: ({ n, key }, h) => range(n).map((t) => -length(key(h, t))), safe: none },
  {
    policy: keyDiff({ rows: b }),
    budget: b,
    score: ({ n, key }, h) => {
      const unit = (a: ReadonlyArray<number>) => a.map((x) => x / length(a));
      const anchor = range(key(h, 0).length).map((c) => mean(range(n).map((t) => unit(key(h, t))[c] ?? 0)));
      return range(n).map((t) => -dot(unit(key(h, t)), unit(anchor)));
    },
    safe: none,
  },
  {
    policy: snapKv({ rows: Math.max(b, w), window: w, kernel: k, pool: by }),
    budget: Math.max(b, w),
    score: ({ n, group, p }, h) => {
      const votes = range(n - w).map((j) => sum(range(w).map((i) => mean(range(group).map((g) => p(h, g, n - w + i, j))))));
      return [...pooled(votes, k, by), ...range(w)];
    },
    safe: (row, n) => row >= n - w,
  },
  {
    policy: expectedAttention({ rows: Math.max(b, 1), queries: w, future: 3, sinks: 1 }),
    budget: Math.max(b, 1),
    score: ({ n, group, key, value, query, turned, scale }, h) => {
      const perHead = range(group).map((g) => {
        // Each query where it would be rotated at the next three positions, on average; its own position is taken back.
        const ahead = range(w).map((i) => n - w + i).filter((i) => i >= 1).map((i) =>
          range(3).map((f) => turned(query(h, g, i), n + f - i)).reduce((a, b) => a.map((x, c) => x + (b[c] ?? 0))).map((x) => x / 3)
        );
        const logits = range(n).map((t) => {
          const dots = ahead.map((q) => scale * dot(q, key(h, t)));
          const m = ahead.length === 0 ? 0 : mean(dots);
          return m + (ahead.length === 0 ? 0 : mean(dots.map((x) => (x - m) ** 2))) / 2;
        });
        const weights = logits.map(Math.exp);
        return weights.map((x) => x / sum(weights));
      });
      return range(n).map((t) => mean(perHead.map((p) => p[t] ?? 0)) * length(value(h, t)));
    },
    safe: (row) => row < 1,
  },
  {
    policy: tova({ rows: b }),
    budget: b,
    score: ({ n, heads, group, p }) => range(n).map((j) => mean(range(heads).flatMap((h) => range(group).map((g) => p(h, g, n - 1, j))))),
    safe: none,
  },
  {
    policy: h2o({ rows: b, recent: percent(50) }),
    budget: b,
    score: ({ n, group, p }, h) => range(n).map((j) => sum(range(n).map((i) => mean(range(group).map((g) => p(h, g, i, j)))))),
    safe: (row, n) => row >= n - Math.floor(b / 2),
  },
];

/** Positions each head of each layer keeps. */
async function kept(memory: Memory, sample: Sample, policy: Policy): Promise<ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>> {
  const cache = await cacheOf(memory, sample);
  const pruned = await orThrow(compress(memory, policy)(cache, { queries: sample.queries, positions: range(sample.tokens) }));
  const { layers } = await orThrow(read(memory)(pruned));
  await orThrow(dispose(memory)(cache));
  await orThrow(dispose(memory)(pruned));
  return layers.map((heads) => heads.map((head) => [...head.positions]));
}

function checkHead(rows: ReadonlyArray<number>, scores: ReadonlyArray<number>, n: number, { budget, safe, policy }: Rule): void {
  assertEquals(rows, [...new Set(rows)].sort((a, b) => a - b), policy.text);
  assertEquals(rows.length, Math.min(budget, n), policy.text);
  const competing = range(n).filter((t) => !safe(t, n));
  const stayed = new Set(rows);
  assert(range(n).every((t) => !safe(t, n) || stayed.has(t)), policy.text);
  const lowest = Math.min(...competing.filter((t) => stayed.has(t)).map((t) => scores[t] ?? NaN));
  const highest = Math.max(...competing.filter((t) => !stayed.has(t)).map((t) => scores[t] ?? NaN));
  assert(lowest >= highest - tolerance, `${policy.text}: ${lowest} stayed, ${highest} left`);
}

onEveryBackend("StreamingLLM, Knorm, KeyDiff, SnapKV, TOVA and H2O keep what their definitions say", (memory) =>
  fc.assert(
    fc.asyncProperty(
      samples(40),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 0, max: 4 }),
      fc.constantFrom("max", "mean" as const),
      async (sample, b, window, half, by) => {
        const w = Math.min(window, sample.tokens);
        for (const rule of rules(b, w, 2 * half + 1, by)) {
          for (const [l, heads] of (await kept(memory, sample, rule.policy)).entries()) {
            const layer = layerOf(sample, l);
            for (const [h, rows] of heads.entries()) checkHead(rows, rule.score(layer, h), sample.tokens, rule);
          }
        }
      },
    ),
    { numRuns: 200 },
  ));

onEveryBackend("Ada-KV keeps heads x budget rows in all, the floor in each, and the best of the layer beyond", (memory) =>
  fc.assert(
    fc.asyncProperty(samples(40), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 10 }), async (sample, b, tenths) => {
      const policy = pipe(knorm({ rows: b }), adaKv({ floor: ratio(tenths, 10) }));
      const floor = Math.floor(b * tenths / 10);
      for (const [l, heads] of (await kept(memory, sample, policy)).entries()) {
        const { n, key } = layerOf(sample, l);
        const scores = heads.map((_, h) => range(n).map((t) => -length(key(h, t))));
        assertEquals(sum(heads.map((rows) => rows.length)), Math.min(heads.length * b, heads.length * n));
        const left = heads.flatMap((rows, h) => range(n).filter((t) => !rows.includes(t)).map((t) => scores[h]?.[t] ?? NaN));
        for (const [h, rows] of heads.entries()) {
          assert(rows.length >= Math.min(floor, n));
          const own = rows.map((t) => scores[h]?.[t] ?? NaN).sort((x, y) => y - x);
          assertEquals(own.length, new Set(rows).size);
          assert(Math.min(...own.slice(floor)) >= Math.max(...left) - tolerance);
        }
      }
    }),
    { numRuns: 200 },
  ));

/** The same sample with a fifth channel that adds `c` to every product of a query and a key. */
function shifted(sample: Sample, c: number): Sample {
  const { shape: { layers: [first] }, dense, queries } = sample;
  const { kvHeads = 0, queryHeads = 0, keyDim = 0, scale = 0 } = first ?? {};
  const shape = uniformShape({ layers: queries.length, queryHeads, kvHeads, headDim: keyDim + 1, scale });
  const widened = (of: Float32Array, extra: number) =>
    Float32Array.from(range(of.length / keyDim).flatMap((r) => [...of.subarray(r * keyDim, (r + 1) * keyDim), extra]));
  const layers = dense.layers.map(({ keys, values }) => ({ keys: widened(keys, 1), values: widened(values, 0) }));
  return { ...sample, shape, dense: { shape, layers }, queries: queries.map((q) => widened(q, c)) };
}

onEveryBackend("a constant added to all logits of a query changes no decision of SnapKV, TOVA and H2O", (memory) =>
  fc.assert(
    fc.asyncProperty(samples(40), fc.integer({ min: 1, max: 40 }), fc.integer({ min: -20, max: 20 }), async (sample, b, c) => {
      for (const rule of rules(b, Math.min(4, sample.tokens), 5, "max").slice(3)) {
        for (const [l, heads] of (await kept(memory, shifted(sample, c), rule.policy)).entries()) {
          const layer = layerOf(sample, l);
          for (const [h, rows] of heads.entries()) checkHead(rows, rule.score(layer, h), sample.tokens, rule);
        }
      }
    }),
    { numRuns: 200 },
  ));
