import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { bytesOf, checkCache, rowsPerHead } from "../cache/mod.ts";
import { adaptive, percent, pipe, type Policy } from "../policy/mod.ts";
import { attend, compress, dispose, type Memory, orThrow, read, type ReadRows } from "../run/mod.ts";
import { attendByHand, cacheOf, headPolicies, onEveryBackend, type Sample, samples, seen } from "./support.ts";

const runs = { numRuns: 200 };

const cases = fc.tuple(samples(), fc.integer({ min: 1, max: 45 }), fc.constantFrom(...headPolicies));

/** The rows a policy leaves of a sample. */
async function kept(memory: Memory, sample: Sample, policy: Policy): Promise<ReadRows> {
  const full = await cacheOf(memory, sample);
  const small = await orThrow(compress(memory, policy)(full, observed(sample)));
  const rows = await orThrow(read(memory)(small));
  await orThrow(dispose(memory)(full));
  await orThrow(dispose(memory)(small));
  return rows;
}

const observed = ({ queries, tokens }: Sample) => ({ queries, positions: Array.from({ length: tokens }, (_, i) => i) });

const positionsOf = (rows: ReadRows): ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> =>
  rows.layers.map((heads) => heads.map((h) => [...h.positions]));

onEveryBackend("evicting equals attending to the rows that stay", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const full = await cacheOf(memory, sample);
      const small = await orThrow(compress(memory, of(budget))(full, observed(sample)));
      const rows = await orThrow(read(memory)(full));
      const stay = positionsOf(await orThrow(read(memory)(small)));
      for (const [l, shape] of sample.shape.layers.entries()) {
        const { queryHeads, kvHeads, keyDim } = shape;
        const query = (sample.queries[l] ?? new Float32Array()).slice(-queryHeads * keyDim);
        const { out } = await orThrow(attend(memory)(small, l, query, [sample.tokens]));
        for (let h = 0; h < queryHeads; h++) {
          const kv = Math.floor(h / (queryHeads / kvHeads));
          const head = rows.layers[l]?.[kv];
          const keep = stay[l]?.[kv];
          if (head === undefined || keep === undefined) throw new Error("no such head");
          const part = (x: Float32Array): Float32Array =>
            Float32Array.from(keep.flatMap((p) => [...x.subarray(p * keyDim, (p + 1) * keyDim)]));
          const masked = { ...head, positions: Uint32Array.from(keep), keys: part(head.keys), values: part(head.values) };
          const expected = attendByHand(query.subarray(h * keyDim, (h + 1) * keyDim), masked, sample.tokens, shape.scale);
          const scale = Math.hypot(...expected);
          const error = Math.hypot(...expected.map((e, d) => e - (out[h * keyDim + d] ?? NaN)));
          // 1e-4: f32 scores, exponentials and sums against f64; the bound for every backend.
          if (!(error <= 1e-4 * Math.max(scale, 1e-3))) return false;
        }
      }
      await orThrow(dispose(memory)(full));
      await orThrow(dispose(memory)(small));
      return true;
    }),
    runs,
  ));

onEveryBackend("every head keeps exactly its budget, ascending by position, and rows are bit for bit what they were", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const full = await cacheOf(memory, sample);
      const before = await orThrow(read(memory)(full));
      const rows = await kept(memory, sample, of(budget));
      for (const [l, heads] of rows.layers.entries()) {
        for (const [h, head] of heads.entries()) {
          assertEquals(head.positions.length, Math.min(sample.tokens, budget));
          assertEquals([...head.positions], [...new Set(head.positions)].sort((a, b) => a - b));
          const source = before.layers[l]?.[h]?.keys ?? new Float32Array();
          assertEquals([...head.keys], [...head.positions].flatMap((p) => [...source.subarray(p * 4, p * 4 + 4)]));
        }
      }
      assertEquals(rows.nextPosition, sample.tokens);
      await orThrow(dispose(memory)(full));
    }),
    runs,
  ));

onEveryBackend("heads that compete keep heads x budget rows in all, and each its floor", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, fc.integer({ min: 1, max: 100 }), async ([sample, budget, { of }], floor) => {
      const rows = await kept(memory, sample, pipe(of(budget), adaptive(percent(floor))));
      for (const heads of rows.layers) {
        const lengths = heads.map((h) => h.positions.length);
        assertEquals(lengths.reduce((a, b) => a + b, 0), Math.min(lengths.length * sample.tokens, lengths.length * budget));
        const least = Math.min(sample.tokens, Math.floor(budget * floor / 100));
        assertEquals(lengths.every((n) => n >= least), true);
      }
    }),
    runs,
  ));

onEveryBackend("the input of compress reads back bit for bit, and bytes reported are bytes allocated", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const full = await cacheOf(memory, sample);
      const before = seen(await orThrow(read(memory)(full)));
      assertEquals(bytesOf(full).total, memory.backend.liveBytes().buffers);
      const small = await orThrow(compress(memory, of(budget))(full, observed(sample)));
      assertEquals(seen(await orThrow(read(memory)(full))), before);
      assertEquals(bytesOf(full).total + bytesOf(small).total, memory.backend.liveBytes().buffers);
      for (const cache of [full, small]) assertEquals(checkCache(cache)._tag, "Right");
      await orThrow(dispose(memory)(full));
      assertEquals(bytesOf(small).total, memory.backend.liveBytes().buffers);
      await orThrow(dispose(memory)(small));
      assertEquals(memory.backend.liveBytes().buffers, 0);
    }),
    runs,
  ));

onEveryBackend("compressing a second time to the same budget changes nothing", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const full = await cacheOf(memory, sample);
      const once = await orThrow(compress(memory, of(budget))(full, observed(sample)));
      const twice = await orThrow(compress(memory, of(budget))(once, observed(sample)));
      assertEquals(seen(await orThrow(read(memory)(twice))), seen(await orThrow(read(memory)(once))));
      assertEquals(rowsPerHead(twice), rowsPerHead(once));
      for (const cache of [full, once, twice]) await orThrow(dispose(memory)(cache));
    }),
    runs,
  ));

onEveryBackend("relabelling heads relabels what they keep: a head's choice depends on that head alone", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const straight = positionsOf(await kept(memory, sample, of(budget)));
      const turned = positionsOf(await kept(memory, reversed(sample), of(budget)));
      assertEquals(turned, straight.map((heads) => [...heads].reverse()));
    }),
    runs,
  ));

onEveryBackend("a layer's choice depends on that layer alone", (memory) =>
  fc.assert(
    fc.asyncProperty(cases, async ([sample, budget, { of }]) => {
      const changed = {
        ...sample.dense,
        layers: sample.dense.layers.map((rows, l) => l === 0 ? rows : { ...rows, keys: rows.keys.map((k) => -k * 3) }),
      };
      const one = positionsOf(await kept(memory, sample, of(budget)));
      const other = positionsOf(await kept(memory, { ...sample, dense: changed }, of(budget)));
      assertEquals(other[0], one[0]);
    }),
    runs,
  ));

/** The sample with its KV heads, and their groups of query heads, in reverse order. */
function reversed(sample: Sample): Sample {
  const flip = (x: Float32Array, parts: number): Float32Array => {
    const size = x.length / parts;
    return Float32Array.from(Array.from({ length: parts }, (_, i) => [...x.subarray((parts - 1 - i) * size, (parts - i) * size)]).flat());
  };
  return {
    ...sample,
    dense: {
      ...sample.dense,
      layers: sample.dense.layers.map(({ keys, values }, l) => {
        const heads = sample.shape.layers[l]?.kvHeads ?? 1;
        return { keys: flip(keys, heads), values: flip(values, heads) };
      }),
    },
    queries: sample.queries.map((q, l) => {
      const { kvHeads, queryHeads, keyDim } = sample.shape.layers[l] ?? { kvHeads: 1, queryHeads: 1, keyDim: 4 };
      const perToken = queryHeads * keyDim;
      return Float32Array.from(
        Array.from({ length: q.length / perToken }, (_, t) => [...flip(q.subarray(t * perToken, (t + 1) * perToken), kvHeads)]).flat(),
      );
    }),
  };
}
