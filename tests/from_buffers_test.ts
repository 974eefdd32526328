/** Caches over a host's own buffers: the rows are those in the buffers, nothing is copied, and what does not fit is one sentence. */
import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Buffer } from "../cache/types.ts";
import { showError, uniformShape } from "../cache/mod.ts";
import { knorm } from "../papers/mod.ts";
import { compress, dispose, fromBuffers, fromDense, type InBuffers, type Memory, orThrow, read } from "../run/mod.ts";
import { numbers, onEveryBackend, seen } from "./support.ts";

const [kvHeads, rows, headDim] = [3, 33, 8];
const shape = uniformShape({ layers: 2, queryHeads: 3, kvHeads, headDim });
const size = kvHeads * rows * headDim;

/** A buffer with numbers in it, as a host would have one. */
async function bufferOf({ backend }: Memory, data: Float32Array): Promise<Buffer> {
  const buffer = await orThrow(backend.alloc(data.byteLength, "host"));
  await orThrow(backend.write(buffer, 0, new Uint8Array(data.buffer)));
  return buffer;
}

onEveryBackend("a cache over a host's buffers is the cache of the same arrays, whole and pruned, and ends with them", async (memory) => {
  const before = memory.backend.liveBytes().buffers;
  const arrays = shape.layers.map((_, l) => ({ keys: numbers(l + 1, size), values: numbers(l + 9, size) }));
  const layers: { keys: Buffer; values: Buffer }[] = [];
  for (const { keys, values } of arrays) layers.push({ keys: await bufferOf(memory, keys), values: await bufferOf(memory, values) });
  const theirs = await orThrow(fromBuffers(memory)({ shape, layers, rows, dtype: "f32" }));
  const ours = await orThrow(fromDense(memory, { codec: { _tag: "Plain", dtype: "f32" } })({ shape, layers: arrays }));
  assertEquals(seen(await orThrow(read(memory)(theirs))), seen(await orThrow(read(memory)(ours))));
  const [a, b] = [await orThrow(compress(memory, knorm({ rows: 7 }))(theirs)), await orThrow(compress(memory, knorm({ rows: 7 }))(ours))];
  assertEquals(seen(await orThrow(read(memory)(a))), seen(await orThrow(read(memory)(b))));
  assertEquals(seen(await orThrow(read(memory)(theirs))), seen(await orThrow(read(memory)(ours))));
  for (const cache of [a, b, theirs, ours]) await orThrow(dispose(memory)(cache));
  const kept = memory.backend.liveBytes().buffers;
  assertEquals(kept, before);
});

onEveryBackend("buffers that do not do are refused in one sentence and stay the caller's", async (memory) => {
  const [keys, values] = [await bufferOf(memory, numbers(1, size)), await bufferOf(memory, numbers(2, size))];
  const one = uniformShape({ layers: 1, queryHeads: 3, kvHeads, headDim });
  const said = (given: Partial<InBuffers>): string => {
    const made = fromBuffers(memory)({ shape: one, layers: [{ keys, values }], rows, dtype: "f32", ...given })();
    return E.isLeft(made) ? showError(made.left) : "made";
  };
  const bytes = keys.bytes;
  assertEquals(said({ rows: 34 }), `layer 0 keys: expected a buffer of at least 3264 bytes, 3 x 34 x 8 of f32, found ${bytes} bytes`);
  assertEquals(said({ rows: 0 }), 'argument rows: found "0", allowed is a whole number of rows from 1');
  assertEquals(said({ layers: [] }), "layers: expected 1, found 0");
  assertEquals(said({ positions: [1] }), "positions: expected 33 numbers, found 1");
  assertEquals(
    said({ layers: [{ keys, values: keys }] }),
    'argument layers: found "buffer host twice", allowed is a buffer of its own for all keys and all values of each layer',
  );
  for (const buffer of [keys, values]) await orThrow(memory.backend.free(buffer));
});
