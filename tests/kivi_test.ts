/**
 * KIVI over a cache that grows: what waits, what is coded, and that neither chunking nor the backend changes a code.
 */
import { assertEquals } from "@std/assert";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { apply, bytesOf, dispose, type KvCache, openCache, openMemory, orThrow, planPolicy, read, uniformShape } from "../mod.ts";
import { kivi } from "../papers/mod.ts";

const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 32 });
const width = 32;

/** Rows and queries of `m` tokens from position `from` on. */
const tokens = (from: number, m: number) => {
  const numbers = (shift: number) => Float32Array.from({ length: m * width }, (_, i) => Math.sin((from * width + i + shift) * 0.37) * 2);
  return { count: m, layers: [{ queries: new Float32Array(2 * m * width).fill(0.3), rows: { keys: numbers(0), values: numbers(7) } }] };
};

/** Rows per tier and what is stored, after a prompt in these chunks and 40 decoded tokens. */
async function run(name: "reference" | "wasm", chunks: ReadonlyArray<number>) {
  await using backend = await orThrow(name === "wasm" ? openWasm() : openReference());
  const memory = openMemory(backend);
  const codec = { _tag: "Plain", dtype: "f16" } as const;
  const policy = kivi({ bits: "4", residual: 32 });
  const plan = await orThrow(planPolicy(policy, { shape, backend, promptTokens: 200, chunk: 200, codec }));
  let cache: KvCache = await orThrow(openCache(memory, plan, shape));
  const feed = async (point: Parameters<typeof apply>[2], m: number) => {
    cache = (await orThrow(apply(memory, plan, point)(cache, m === 0 ? null : tokens(cache.nextPosition, m)))).cache;
  };
  for (const m of chunks) await feed({ _tag: "AfterChunk", m }, m);
  await feed({ _tag: "PrefillEnd" }, 0);
  for (let i = 0; i < 40; i++) await feed({ _tag: "AfterStep", every: [] }, 1);
  const [own] = cache.layers;
  const rows = own?._tag === "Own" ? own.tiers.map((tier) => tier.segments[0]?.length) : [];
  const { keys, values, positions } = (await orThrow(read(memory)(cache))).layers[0]?.[0] ?? { keys: [], values: [], positions: [] };
  const held = bytesOf(cache).rows;
  await orThrow(dispose(memory)(cache));
  return { rows, keys: [...keys], values: [...values], positions: [...positions], held, left: backend.liveBytes().buffers };
}

Deno.test("KIVI codes whole groups behind its residual, alike for every chunking and backend, in the paper's bytes", async () => {
  const once = await run("reference", [200]);
  // 240 tokens, 32 stay at least: six groups of 32 are coded and 48 rows wait.
  assertEquals(once.rows, [192, 48]);
  assertEquals(once.positions, Array.from({ length: 240 }, (_, i) => i));
  // Keys and values: 5.0 bits a number where coded, 16 where not.
  assertEquals([once.held, once.left], [2 * width * (192 * 5 + 48 * 16) / 8, 0]);
  assertEquals(await run("reference", [64, 64, 72]), once);
  assertEquals(await run("wasm", [200]), once);
  assertEquals(await run("wasm", [1, 150, 49]), once);
});
