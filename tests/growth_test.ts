import { assertEquals, assertLessOrEqual } from "@std/assert";
import type { Backend } from "../backends/backend.ts";
import { bytesOf } from "../cache/mod.ts";
import { afterPrefill, evict, neg, norm, pipe, rows } from "../policy/mod.ts";
import { openReference } from "../backends/reference/mod.ts";
import { disposeSession, openModel, prefill, step } from "../model/mod.ts";
import { diffKv } from "../papers/mod.ts";
import { append, compress, dispose, openMemory, orThrow } from "../run/mod.ts";
import { backends, cacheOf, numbers, sampleOf } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

/** A backend that counts rows as they are copied, by the lengths in the source layouts that a copy uploads. */
function counting(backend: Backend): { readonly backend: Backend; readonly copied: () => number } {
  let copied = 0;
  const write: Backend["write"] = (buffer, offset, bytes) => {
    if (buffer.label === "copy layouts") {
      const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 4; at < bytes.byteLength / 2 && at + 4 <= bytes.byteLength; at += 12) copied += words.getUint32(at, true);
    }
    return backend.write(buffer, offset, bytes);
  };
  return { backend: { ...backend, write }, copied: () => copied };
}

for (const { name, open } of backends) {
  Deno.test(`8,192 appends copy less than ten times the rows they add: O(1) amortised (${name})`, async () => {
    await using opened = await open();
    const { backend, copied } = counting(opened);
    using memory = openMemory(backend);
    const heads = 3;
    let cache = await cacheOf(memory, sampleOf(1, heads, 1, 4, 1, 7));
    const row = { keys: numbers(1, heads * 4), values: numbers(2, heads * 4) };
    let tail = 0;
    for (let i = 0; i < 8192; i++) {
      const next = await orThrow(append(memory)(cache, { layers: [row] }));
      await orThrow(dispose(memory)(cache));
      cache = next;
      if (i === 4095) tail = copied();
    }
    // Growth by an eighth copies 8/9 + (8/9)^2 + … = 8 rows per row in the limit, more while the smallest step of 32 rows rules.
    assertLessOrEqual(copied(), 10 * 8192 * heads);
    assertLessOrEqual(copied() - tail, 10 * 4096 * heads);
    // Slack is at most the growth by an eighth, beside 1 kB of rounding and layouts.
    assertLessOrEqual(bytesOf(cache).total, 9 / 8 * 8193 * heads * (4 * 4 * 2 + 4) + 1024);
    await orThrow(dispose(memory)(cache));
  });

  Deno.test(`1,000 cycles of open, append, compress, dispose end where they began (${name})`, async () => {
    await using backend = await open();
    const before = backend.liveBytes();
    const policy = pipe(norm("keys", "l2"), neg, evict({ budget: rows(4) }), afterPrefill("norm", false));
    {
      using memory = openMemory(backend);
      for (let i = 0; i < 1000; i++) {
        const first = await cacheOf(memory, sampleOf(2, 2, 1, 4, 1 + i % 9, i));
        const row = { keys: numbers(i, 8), values: numbers(i + 1, 8) };
        const longer = await orThrow(append(memory)(first, { layers: [row, row] }));
        const small = await orThrow(compress(memory, policy)(longer));
        for (const cache of [first, small, longer]) await orThrow(dispose(memory)(cache));
        assertEquals(backend.liveBytes().buffers, before.buffers);
      }
    }
    const after = backend.liveBytes();
    assertEquals([after.buffers, after.programs, after.weights], [before.buffers, before.programs, before.weights]);
  });
}

Deno.test("a decoded token builds the program of a model anew every 32nd time at most, however unevenly layers and tiers take rows", async () => {
  await using opened = await orThrow(openReference());
  let built = 0;
  const prepare: Backend["prepare"] = (program, weights) => (built++, opened.prepare(program, weights));
  const options = tiny("llama", { layers: 6, headDim: 32 });
  await using model = await orThrow(openModel({ ...opened, prepare }, tinyFile(options)));
  const prompt = Array.from({ length: 96 }, (_, i) => i * 37 % 250);
  let session = await orThrow(prefill(model, diffKv({ window: 8 }))(prompt));
  const steps = 129;
  const before = built;
  for (let i = 0; i < steps; i++) session = await orThrow(step(i * 11 % 250)(session));
  // The first step, then whenever 32 spare rows are used up; what a program moves rows with is built once.
  assertLessOrEqual(built - before, 1 + Math.ceil(steps / 32) + 4);
  await orThrow(disposeSession(session));
});
