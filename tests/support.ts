/**
 * What the tests of cache values share: backends under test, random caches, and attention by hand in f64.
 * @module
 */
import fc from "fast-check";
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import type { KvCache, ModelShape } from "../cache/mod.ts";
import type { TensorToWrite } from "../model/mod.ts";
import { uniformShape } from "../cache/mod.ts";
import {
  afterPrefill,
  attention,
  evict,
  keySimilarity,
  lastQueries,
  neg,
  norm,
  pipe,
  type Policy,
  pool,
  position,
  rows,
} from "../policy/mod.ts";
import { type Dense, fromDense, type HeadRows, type Memory, openMemory, orThrow, type ReadRows } from "../run/mod.ts";
import { uniforms } from "./support/random.ts";

/** Backends every law is shown on. */
export const backends: ReadonlyArray<{ readonly name: string; readonly open: () => Promise<Backend> }> = [
  { name: "reference", open: () => orThrow(openReference()) },
  { name: "wasm-simd128", open: () => orThrow(openWasm({ build: "simd128" })) },
  { name: "wasm-fast", open: () => orThrow(openWasm({ build: "fast", threads: 2 })) },
];

/** One test per backend, with a memory that is closed at the end. */
export function onEveryBackend(name: string, body: (memory: Memory) => Promise<void>): void {
  for (const { name: backendName, open } of backends) {
    Deno.test(`${name} (${backendName})`, async () => {
      await using backend = await open();
      using memory = openMemory(backend);
      await body(memory);
    });
  }
}

/** A small model with rows of its own. */
export interface Sample {
  readonly shape: ModelShape;
  readonly dense: Dense;
  readonly tokens: number;
  /** f32 [tokens, queryHeads, keyDim] per layer. */
  readonly queries: ReadonlyArray<Float32Array>;
}

/** Numbers in about [-2, 2], reproducible from a seed. */
export function numbers(seed: number, length: number): Float32Array {
  const next = uniforms(seed);
  return Float32Array.from({ length }, () => next() * 4 - 2);
}

/** A tensor of such numbers. */
export const tensorOf = (name: string, shape: ReadonlyArray<number>, seed: number): TensorToWrite => ({
  name,
  type: "F32",
  shape,
  numbers: numbers(seed, shape.reduce((a, d) => a * d, 1)),
});

/** A sample of this size. */
export function sampleOf(layers: number, kvHeads: number, group: number, headDim: number, tokens: number, seed: number): Sample {
  const shape = uniformShape({ layers, queryHeads: kvHeads * group, kvHeads, headDim });
  const size = kvHeads * tokens * headDim;
  return {
    shape,
    tokens,
    dense: {
      shape,
      layers: shape.layers.map((_, l) => ({ keys: numbers(seed + 31 * l, size), values: numbers(seed + 31 * l + 7, size) })),
    },
    queries: shape.layers.map((_, l) => numbers(seed + 31 * l + 13, tokens * group * kvHeads * headDim)),
  };
}

/** Samples of 1 to 2 layers, 1 to 3 KV heads, groups of 1 to 3, 1 to `most` tokens. */
export const samples = (most = 40): fc.Arbitrary<Sample> =>
  fc.tuple(
    fc.integer({ min: 1, max: 2 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: most }),
    fc.nat(),
  )
    .map(([layers, heads, group, tokens, seed]) => sampleOf(layers, heads, group, 4, tokens, seed));

/** Policies that keep `budget` rows of every head, without and with queries. */
export const headPolicies: ReadonlyArray<{ readonly name: string; readonly of: (budget: number) => Policy }> = [
  {
    name: "position",
    of: (b) => pipe(position, evict({ budget: rows(b), protect: { sinks: Math.min(1, b), recent: 0 } }), afterPrefill("position", false)),
  },
  { name: "norm", of: (b) => pipe(norm("keys", "l2"), neg, evict({ budget: rows(b) }), afterPrefill("norm", false)) },
  { name: "similarity", of: (b) => pipe(keySimilarity, neg, evict({ budget: rows(b) }), afterPrefill("similarity", false)) },
  {
    name: "attention",
    of: (b) =>
      pipe(
        attention(lastQueries(1), "sum", "mean"),
        pool({ by: "max", size: 3, dropLast: 1 }),
        evict({ budget: rows(b), protect: { sinks: 0, recent: 1 } }),
        afterPrefill("attention", false),
      ),
  },
];

/** The cache of a sample, f32 so that rows read back bit for bit. */
export const cacheOf = (memory: Memory, sample: Sample): Promise<KvCache> =>
  orThrow(fromDense(memory, { codec: { _tag: "Plain", dtype: "f32" } })(sample.dense));

/** Attention by definition, in f64: f64 [valueDim] for one query over the rows of one head that are visible at `at`. */
export function attendByHand(query: Float32Array, { keys, values, positions }: HeadRows, at: number, scale: number): ReadonlyArray<number> {
  const dim = query.length;
  const visible = Array.from(positions.keys()).filter((i) => (positions[i] ?? 0) <= at);
  const scores = visible.map((i) => scale * query.reduce((sum, x, d) => sum + x * (keys[i * dim + d] ?? 0), 0));
  const top = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - top));
  const total = weights.reduce((a, b) => a + b, 0);
  const width = positions.length === 0 ? 0 : values.length / positions.length;
  return Array.from(
    { length: width },
    (_, d) => visible.reduce((sum, i, n) => sum + (weights[n] ?? 0) / total * (values[i * width + d] ?? 0), 0),
  );
}

/** Everything that can be seen of a cache's rows, as plain data that compares by value. */
export const seen = (rows: ReadRows): unknown => ({
  nextPosition: rows.nextPosition,
  layers: rows.layers.map((heads) => heads.map((h) => ({ positions: [...h.positions], keys: [...h.keys], values: [...h.values] }))),
});
