/**
 * 8,192 rows appended one by one: time per row in eight equal parts, which must stay level if appending is O(1) amortised.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { randomOf } from "../conformance/random.ts";
import { append, dispose, fromDense, openMemory, orThrow } from "../run/mod.ts";
import { uniformShape } from "../cache/uniform.ts";

/** Microseconds per appended row (one layer, 3 KV heads of 64, f16), part by part. */
export async function timeAppends(backend: Backend, rows = 8192, parts = 8): Promise<ReadonlyArray<number>> {
  using memory = openMemory(backend);
  const random = randomOf("appends", 1);
  const shape = uniformShape({ layers: 1, queryHeads: 9, kvHeads: 3, headDim: 64 });
  const row = { keys: random.normals(192), values: random.normals(192) };
  let cache = await orThrow(fromDense(memory, { codec: { _tag: "Plain", dtype: "f16" } })({ shape, layers: [row] }));
  const times: number[] = [];
  for (let part = 0; part < parts; part++) {
    const start = performance.now();
    for (let i = 0; i < rows / parts; i++) {
      const next = await orThrow(append(memory)(cache, { layers: [row] }));
      await orThrow(dispose(memory)(cache));
      cache = next;
    }
    times.push((performance.now() - start) * 1000 / (rows / parts));
  }
  await orThrow(dispose(memory)(cache));
  return times;
}
