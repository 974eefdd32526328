/**
 * Cache values against plain arrays: histories of append, fork, compress and dispose that branch at random.
 * @module
 */
import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { buffersOf } from "../cache/view.ts";
import { checkCache, type KvCache } from "../cache/mod.ts";
import { afterPrefill, evict, pipe, type Policy, position, rows } from "../policy/mod.ts";
import { append, compress, dispose, fork, type HeadRows, type Memory, orThrow, read } from "../run/mod.ts";
import { cacheOf, numbers, onEveryBackend, sampleOf } from "./support.ts";

/** One step: which live value it acts on, and a size. */
interface Step {
  readonly act: "append" | "fork" | "compress" | "dispose";
  readonly on: number;
  readonly size: number;
}

const steps: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(
  fc.record({
    act: fc.constantFrom("append", "append", "append", "fork", "compress", "dispose"),
    on: fc.nat(),
    size: fc.integer({ min: 1, max: 20 }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** Rows as plain arrays: per head the positions and keys. */
type Model = ReadonlyArray<{ readonly positions: ReadonlyArray<number>; readonly keys: ReadonlyArray<number> }>;

interface Live {
  readonly cache: KvCache;
  readonly model: Model;
  readonly next: number;
}

const heads = 2;
const dim = 2;

/** Keeps the first row and the newest `budget - 1`. */
const sinkAndRecent = (budget: number): Policy =>
  pipe(position, evict({ budget: rows(budget), protect: { sinks: Math.min(1, budget), recent: 0 } }), afterPrefill("recent", false));

const evictModel = (model: Model, budget: number): Model =>
  model.map(({ positions, keys }) => {
    const order = [...positions.keys()].filter((i) => i > 0 && positions[i] !== 0);
    const sink = positions[0] === 0 ? [0] : [];
    const stay = [
      ...sink,
      ...(budget > sink.length ? (sink.length === 0 ? [...positions.keys()] : order).slice(-(budget - sink.length)) : []),
    ];
    return { positions: stay.map((i) => positions[i] ?? -1), keys: stay.flatMap((i) => keys.slice(i * dim, (i + 1) * dim)) };
  });

const asModel = (found: ReadonlyArray<HeadRows>): Model => found.map((h) => ({ positions: [...h.positions], keys: [...h.keys] }));

async function perform(memory: Memory, { act, size }: Step, from: Live, seed: number): Promise<Live | null> {
  if (act === "dispose") {
    await orThrow(dispose(memory)(from.cache));
    return null;
  }
  if (act === "fork") return { ...from, cache: await orThrow(fork(memory)(from.cache)) };
  if (act === "compress") {
    return {
      cache: await orThrow(compress(memory, sinkAndRecent(size))(from.cache)),
      model: evictModel(from.model, size),
      next: from.next,
    };
  }
  const keys = numbers(seed, heads * size * dim);
  const cache = await orThrow(append(memory)(from.cache, { layers: [{ keys, values: keys }] }));
  const model = from.model.map((head, h) => ({
    positions: [...head.positions, ...Array.from({ length: size }, (_, i) => from.next + i)],
    keys: [...head.keys, ...keys.subarray(h * size * dim, (h + 1) * size * dim)],
  }));
  return { cache, model, next: from.next + size };
}

async function check(memory: Memory, live: ReadonlyArray<Live>): Promise<void> {
  for (const { cache, model, next } of live) {
    const found = await orThrow(read(memory)(cache));
    assertEquals(asModel(found.layers[0] ?? []), model);
    assertEquals(found.nextPosition, next);
    assertEquals(checkCache(cache)._tag, "Right");
  }
  const held = new Map(live.flatMap(({ cache }) => buffersOf(cache)).map((b) => [b.id, b.bytes]));
  assertEquals([...held.values()].reduce((a, b) => a + b, 0), memory.backend.liveBytes().buffers);
}

onEveryBackend(
  "2,000 branching histories: every live value reads back as plain arrays would, and memory is what live values hold",
  (memory) =>
    fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 12 }), async (history, tokens) => {
        const sample = sampleOf(1, heads, 1, dim, tokens, tokens);
        const first = await cacheOf(memory, sample);
        let live: ReadonlyArray<Live> = [{
          cache: first,
          model: asModel((await orThrow(read(memory)(first))).layers[0] ?? []),
          next: tokens,
        }];
        for (const [i, step] of history.entries()) {
          const from = live[step.on % Math.max(1, live.length)];
          if (from === undefined) break;
          const made = await perform(memory, step, from, i * 101 + tokens);
          live = made === null ? live.filter((l) => l !== from) : [...live, made];
          if (made === null) assertEquals((await read(memory)(from.cache)())._tag, "Left");
        }
        await check(memory, live);
        for (const { cache } of live) await orThrow(dispose(memory)(cache));
        assertEquals(memory.backend.liveBytes().buffers, 0);
      }),
      { numRuns: 2000 },
    ),
);

onEveryBackend("a disposed value is stale for everything, once and again", async (memory) => {
  const cache = await cacheOf(memory, sampleOf(1, 1, 1, 2, 3, 1));
  await orThrow(dispose(memory)(cache));
  const attempts = [
    dispose(memory)(cache)(),
    await read(memory)(cache)(),
    await fork(memory)(cache)(),
    await compress(memory, sinkAndRecent(1))(cache)(),
    await append(memory)(cache, { layers: [{ keys: new Float32Array(2), values: new Float32Array(2) }] })(),
  ];
  assertEquals(attempts.map((a) => E.isLeft(a) ? a.left._tag : "Right"), attempts.map(() => "StaleHandle"));
});
