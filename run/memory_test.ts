import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { openReference } from "../backends/reference/mod.ts";
import type { KvCache } from "../cache/types.ts";
import { uniformShape } from "../cache/uniform.ts";
import { buffersOf } from "../cache/view.ts";
import { planPolicy } from "../plan/plan.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { h2o, knorm, snapKv } from "../papers/mod.ts";
import { emptyPolicy, type Policy } from "../policy/mod.ts";
import { advance, bindings, reserve, settle, stage } from "./bind.ts";
import { compress } from "./compress.ts";
import { append, fromDense } from "./dense.ts";
import { openMemory } from "./memory.ts";
import { dispose, fork, openCache } from "./open.ts";
import { orThrow } from "./or_throw.ts";
import { read } from "./read.ts";
import { scoped } from "./scoped.ts";

const shape = uniformShape({ layers: 2, queryHeads: 2, kvHeads: 2, headDim: 2 });
const ones = (rows: number) => ({ keys: new Float32Array(rows * 4).fill(1), values: new Float32Array(rows * 4).fill(2) });
const dense = (rows: number) => ({ shape, layers: [ones(rows), ones(rows)] });

const planOf = (policy: Policy): PolicyPlan => {
  const plan = planPolicy(policy, {
    shape,
    backend: { name: "reference", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
    promptTokens: 40,
    chunk: 8,
    codec: { _tag: "Plain", dtype: "f16" },
  });
  if (E.isLeft(plan)) throw new Error(JSON.stringify(plan.left));
  return plan.right;
};

const tag = (result: E.Either<{ readonly _tag: string }, unknown>): string => E.isLeft(result) ? result.left._tag : "Right";

Deno.test("memory is bound under the names programs use: tail tiers plainly, frozen ones by number", async () => {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const cache = await orThrow(openCache(memory, planOf(h2o({ rows: 8 })), shape));
  assertEquals(Object.keys(bindings(cache)).filter((n) => n.startsWith("L1")), [
    "L1.keys",
    "L1.values",
    "L1.position",
    "L1.layout",
    "L1.column.mass",
  ]);
  const ring = await orThrow(openCache(memory, planOf(snapKv({ rows: 8, window: 4 })), shape));
  assertEquals(Object.keys(bindings(ring)).filter((n) => n.startsWith("L0.recent")), [
    "L0.recent.queries",
    "L0.recent.lse",
    "L0.recent.position",
  ]);
  const child = await orThrow(fork(memory)(await orThrow(fromDense(memory)(dense(3)))));
  assertEquals(Object.keys(bindings(child)).filter((n) => n.endsWith(".keys")), ["L0.t0.keys", "L0.keys", "L1.t0.keys", "L1.keys"]);
});

Deno.test("a run's steps each consume the value before them", async () => {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const plan = planOf(emptyPolicy);
  const point = { _tag: "AfterStep", every: [] } as const;
  const empty = await orThrow(openCache(memory, plan, shape));
  const ready = await orThrow(reserve(memory, plan, point, 1)(empty));
  assertEquals(tag(stage(memory)(empty)()), "StaleHandle");
  await orThrow(stage(memory)(ready));
  const next = await orThrow(advance(memory, 1)(ready));
  assertEquals(tag(await reserve(memory, plan, point, 1)(ready)()), "StaleHandle");
  assertEquals([next.nextPosition, ready.nextPosition], [1, 0]);
});

Deno.test("only the newest value of a family may run in place; an older one gets memory of its own first", async () => {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const plan = planOf(emptyPolicy);
  const first = await orThrow(fromDense(memory)(dense(1)));
  const roomy = await orThrow(append(memory)(first, { layers: [ones(1), ones(1)] }));
  const newest = await orThrow(append(memory)(roomy, { layers: [ones(1), ones(1)] }));
  assertEquals(newest.family, roomy.family);
  assertEquals(tag(advance(memory, 1)(roomy)()), "StaleHandle");
  const own = await orThrow(reserve(memory, plan, { _tag: "AfterChunk", m: 1 }, 1)(roomy));
  assertEquals(own.family === newest.family, false);
  assertEquals((await orThrow(read(memory)(newest))).layers[0]?.[0]?.positions.length, 3);
});

Deno.test("lengths that the device cannot have are refused when they are read back", async () => {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const cache = await orThrow(fromDense(memory)(dense(3)));
  const unknown = await orThrow(advance(memory, 0, true)(cache));
  await orThrow(backend.write(unknown.layout, 4, new Uint8Array([4, 0, 0, 0])));
  assertEquals(tag(await settle(memory)(unknown)()), "ShapeMismatch");
  await orThrow(dispose(memory)(unknown));
});

Deno.test("rows of the wrong size, order or number are refused", async () => {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const cache = await orThrow(fromDense(memory)(dense(3)));
  const refused = [
    fromDense(memory)({ shape, layers: [ones(3)] })(),
    fromDense(memory)({ ...dense(3), shape: uniformShape({ layers: 2, queryHeads: 2, kvHeads: 2, headDim: 0 }) })(),
    fromDense(memory)({ shape, layers: [ones(3), ones(2)] })(),
    fromDense(memory)({ shape, layers: [ones(3), { ...ones(3), values: new Float32Array(5) }] })(),
    fromDense(memory)({ ...dense(3), positions: [0, 1] })(),
    fromDense(memory)({ ...dense(3), positions: [0, 2, 2] })(),
    fromDense(memory)({ ...dense(3), positions: [0, 1, 0xffffffff] })(),
    await append(memory)(cache, { layers: [ones(1)] })(),
    await append(memory)(cache, { layers: [ones(1), null] })(),
    await append(memory)(cache, { layers: [ones(1), ones(1)], positions: [2] })(),
    await compress(memory, knorm({ rows: 2 }))(cache, { queries: [], positions: [] })(),
    await compress(memory, snapKv({ rows: 2, window: 2 }))(cache)(),
    openCache(memory, planOf(emptyPolicy), shape, { capacity: -1 })(),
    openCache(memory, planOf(emptyPolicy), uniformShape({ layers: 1, queryHeads: 2, kvHeads: 2, headDim: 2 }))(),
  ];
  assertEquals(refused.map(E.isLeft), refused.map(() => true));
  assertEquals(backend.liveBytes().buffers, buffersOf(cache).reduce((sum, b) => sum + b.bytes, 0));
});

Deno.test("where memory runs out, wherever it does, live values are whole and nothing else is held", () =>
  fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 6000 }), async (maxBytes) => {
      await using backend = await orThrow(openReference({ maxBytes }));
      using memory = openMemory(backend);
      const live: KvCache[] = [];
      const keep = (made: E.Either<{ readonly _tag: string }, KvCache>): KvCache | null => {
        if (E.isRight(made)) live.push(made.right);
        else assertEquals(made.left._tag, "OutOfMemory");
        return E.isRight(made) ? made.right : null;
      };
      const first = keep(fromDense(memory)(dense(9))());
      const longer = first === null ? null : keep(await append(memory)(first, { layers: [ones(4), ones(4)] })());
      if (longer !== null) {
        keep(await compress(memory, knorm({ rows: 3 }))(longer)());
        keep(await fork(memory)(longer)());
        keep(await compress(memory, h2o({ rows: 4 }))(longer, { queries: [new Float32Array(4), new Float32Array(4)], positions: [12] })());
      }
      const plan = planOf(h2o({ rows: 4 }));
      const empty = openCache(memory, plan, shape, { capacity: 3 })();
      if (E.isRight(empty)) keep(await reserve(memory, plan, { _tag: "AfterChunk", m: 8 }, 8)(empty.right)());
      const held = new Map(live.flatMap(buffersOf).map((b) => [b.id, b.bytes]));
      assertEquals(backend.liveBytes().buffers, [...held.values()].reduce((a, b) => a + b, 0));
      for (const cache of live) assertEquals(tag(await read(memory)(cache)()), "Right");
      for (const cache of live) await orThrow(dispose(memory)(cache));
      assertEquals(backend.liveBytes().buffers, 0);
    }),
    { numRuns: 300 },
  ));

Deno.test("a scoped value ends with its block, a memory with its own", async () => {
  await using backend = await orThrow(openReference());
  {
    using memory = openMemory(backend);
    await orThrow(fromDense(memory)(dense(2)));
    const before = backend.liveBytes().buffers;
    {
      using held = scoped(memory)(await orThrow(fromDense(memory)(dense(5))));
      assertEquals(held.cache.nextPosition, 5);
    }
    assertEquals(backend.liveBytes().buffers, before);
  }
  assertEquals([backend.liveBytes().buffers, backend.liveBytes().programs], [0, 0]);
});
