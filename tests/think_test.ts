/**
 * ThinK: which channels of keys go, by hand; what is then held, to the byte; and what attention makes of it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { keptChannels } from "../cache/channels.ts";
import * as E from "fp-ts/Either.js";
import {
  attend,
  bytesOf,
  compress,
  dispose,
  fromDense,
  type KvCache,
  type Memory,
  orThrow,
  read,
  showError,
  uniformShape,
} from "../mod.ts";
import { parsePolicy, think } from "../papers/mod.ts";
import { planPolicy } from "../plan/mod.ts";
import { attendByHand, onEveryBackend, type Sample, sampleOf } from "./support.ts";

const halves = (memory: Memory, { dense }: Sample): Promise<KvCache> => orThrow(fromDense(memory, { codec: half })(dense));

const half = { _tag: "Plain", dtype: "f16" } as const;

onEveryBackend("ThinK by hand: energies 8, 9, 12 and 2.25, half of the channels go, the newest row stays whole", async (memory) => {
  const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 4 });
  // Sums of squares of the keys: 2, 9, 0.75, 9. Alone, the first key would keep channels 1 and 3.
  const keys = Float32Array.of(1, 2, 0.5, 3, 1, -2, 0.5, 0, 0, 1, 0.5, 0);
  const values = Float32Array.from({ length: 12 }, (_, i) => i);
  // The last two tokens ask: sums of squares 4, 1, 16, 0.25 over both heads. The first token's queries would turn the order round.
  const queries = Float32Array.of(0, 0, 0, 9, 9, 0, 0, 0, 2, 0, 0, 0.5, 0, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0);
  const cache = await orThrow(fromDense(memory, { codec: half })({ shape, layers: [{ keys, values }] }));
  const policy = think({ drop: "50%", queries: 2, recent: 1 });
  const thin = await orThrow(compress(memory, policy)(cache, { queries: [queries], positions: [0, 1, 2] }));
  const head = (await orThrow(read(memory)(thin))).layers[0]?.[0];
  assertEquals([...head?.keys ?? []], [0, 2, 0.5, 0, 0, -2, 0.5, 0, 0, 1, 0.5, 0]);
  assertEquals([...head?.values ?? []], [...values]);
  // Two rows of a mask in a word and two halves, one whole row of four, and three values.
  assertEquals(bytesOf(thin).rows, 2 * (4 + 4) + 8 + 3 * 8);
  await orThrow(dispose(memory)(thin));
  await orThrow(dispose(memory)(cache));
});

onEveryBackend("bytes are exact for every share, positions all stay, and each old key keeps as many channels as it may", async (memory) => {
  const sample = sampleOf(2, 2, 2, 32, 21, 3);
  for (const percent of [10, 20, 30, 40, 50, 60, 70, 80, 90] as const) {
    const cache = await halves(memory, sample);
    const positions = Array.from({ length: sample.tokens }, (_, i) => i);
    const policy = think({ drop: `${percent}%`, queries: 4, recent: 5 });
    const thin = await orThrow(compress(memory, policy)(cache, { queries: sample.queries, positions }));
    const kept = keptChannels(32, 100 - percent);
    assertEquals(bytesOf(thin).rows, 2 * 2 * (16 * (4 + 2 * kept) + 5 * 64 + 21 * 64), `${percent}%`);
    for (const head of (await orThrow(read(memory)(thin))).layers.flat()) {
      assertEquals([...head.positions], positions);
      const used = new Set(Array.from(head.keys.subarray(0, 16 * 32), (k, i) => k === 0 ? -1 : i % 32).filter((c) => c >= 0));
      // All old rows of a head keep the same channels; no random key is 0.
      assertEquals(used.size, kept, `${percent}%`);
    }
    await orThrow(dispose(memory)(thin));
    await orThrow(dispose(memory)(cache));
  }
  assertEquals(memory.backend.liveBytes().buffers, 0);
});

onEveryBackend("keys whose other channels are 0 come through unchanged", async (memory) => {
  const sample = sampleOf(1, 2, 2, 32, 12, 8);
  const layers = sample.dense.layers.map((l) => ({ ...l, keys: l.keys.map((k, i) => i % 32 < keptChannels(32, 60) ? k : 0) }));
  const cache = await halves(memory, { ...sample, dense: { ...sample.dense, layers } });
  const before = (await orThrow(read(memory)(cache))).layers;
  const positions = Array.from({ length: sample.tokens }, (_, i) => i);
  const thin = await orThrow(compress(memory, think({ queries: 4, recent: 0 }))(cache, { queries: sample.queries, positions }));
  assertEquals((await orThrow(read(memory)(thin))).layers, before);
  await orThrow(dispose(memory)(thin));
  await orThrow(dispose(memory)(cache));
});

onEveryBackend("queries attend to what the channels that stay say, beside the rows that are whole", async (memory) => {
  const sample = sampleOf(1, 2, 3, 64, 150, 5);
  const cache = await halves(memory, sample);
  const positions = Array.from({ length: sample.tokens }, (_, i) => i);
  const thin = await orThrow(compress(memory, think({ queries: 8, recent: 20 }))(cache, { queries: sample.queries, positions }));
  const heads = (await orThrow(read(memory)(thin))).layers[0] ?? [];
  for (const m of [1, 5]) {
    const queries = (sample.queries[0] ?? new Float32Array()).subarray(0, m * 6 * 64);
    const { out } = await orThrow(attend(memory)(thin, 0, queries, Array.from({ length: m }, () => 149)));
    for (let i = 0; i < m * 6; i++) {
      const head = heads[Math.floor(i % 6 / 3)];
      const wanted = head === undefined
        ? []
        : attendByHand(queries.subarray(i * 64, (i + 1) * 64), head, 149, sample.shape.layers[0]?.scale ?? 0);
      // Sums of 150 f32 products with weights that add up to 1 and values up to 2.
      wanted.forEach((v, d) => assert(Math.abs(v - (out[i * 64 + d] ?? NaN)) < 1e-5, `query ${i} channel ${d}`));
    }
  }
  await orThrow(dispose(memory)(thin));
  await orThrow(dispose(memory)(cache));
});

onEveryBackend("after an eviction it thins what stays, and leaves which rows stay alone", async (memory) => {
  const sample = sampleOf(2, 2, 2, 32, 40, 9);
  const cache = await halves(memory, sample);
  const given = { queries: sample.queries, positions: Array.from({ length: sample.tokens }, (_, i) => i) };
  const apart = "snapkv(50%, window=4)";
  const evicted = await orThrow(compress(memory, await orThrow(parsePolicy(apart)))(cache, given));
  for (const text of [`${apart}+think(40%, queries=4, recent=6)`, `think(40%, queries=4, recent=6)+${apart}`]) {
    const both = await orThrow(compress(memory, await orThrow(parsePolicy(text)))(cache, given));
    const [a, b] = [await orThrow(read(memory)(evicted)), await orThrow(read(memory)(both))];
    assertEquals(b.layers.map((l) => l.map((h) => [...h.positions])), a.layers.map((l) => l.map((h) => [...h.positions])), text);
    const rows = b.layers.flat().reduce((sum, h) => sum + h.positions.filter((p) => p < 34).length, 0);
    assertEquals(bytesOf(evicted).rows - bytesOf(both).rows, rows * (64 - 4 - 2 * keptChannels(32, 60)), text);
    await orThrow(dispose(memory)(both));
  }
  await orThrow(dispose(memory)(evicted));
  await orThrow(dispose(memory)(cache));
});

Deno.test("what ThinK does not go with is said before anything runs", async () => {
  const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 32 });
  const caps = { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 };
  const refused = async (text: string, backend: Parameters<typeof planPolicy>[1]["backend"], promptTokens = 100): Promise<string> => {
    const plan = planPolicy(await orThrow(parsePolicy(text)), { shape, backend, promptTokens, chunk: 100, codec: half });
    return E.isLeft(plan) ? showError(plan.left) : "planned";
  };
  const all = { name: "any", caps, supports: () => true };
  assertEquals(await refused("think", all), "planned");
  assertStringIncludes(await refused("think+kivi(2)", all), "the codecs f16k60 and f16 of another block");
  assertStringIncludes(await refused("think", all, 20), "an observation window from 1 to the prompt's 20 tokens");
  assertStringIncludes(await refused("think", { ...all, supports: (op) => op !== "dropChannels" }), "the op dropChannels");
  const stores = (codec: string): boolean => !codec.startsWith("f16k");
  assertStringIncludes(await refused("encode(f16k60)", { ...all, name: "small", stores }), "rows stored as f16k60");
});
