/**
 * A host with its own model: rows in, a smaller cache out. Run with `deno run -A examples/compress_your_own.ts`.
 * @module
 */
import { bytesOf, compress, fromDense, openMemory, openReference, orThrow, read, rowsKept, uniformShape } from "../mod.ts";
import { snapKv } from "../papers/mod.ts";

const [layers, kvHeads, queryHeads, headDim, tokens] = [2, 2, 4, 16, 300];
const shape = uniformShape({ layers, kvHeads, queryHeads, headDim });

// Stands for what the host's model computes: keys after rotation, values, and the last queries of the prompt.
const wave = (length: number, phase: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37 + phase));
const rows = Array.from({ length: layers }, (_, l) => ({
  keys: wave(kvHeads * tokens * headDim, l),
  values: wave(kvHeads * tokens * headDim, l + 1),
}));
const positions = Array.from({ length: 32 }, (_, i) => tokens - 32 + i);
const queries = rows.map((_, l) => wave(positions.length * queryHeads * headDim, l + 2));

await using backend = await orThrow(openReference());
using memory = openMemory(backend);
const full = await orThrow(fromDense(memory)({ shape, layers: rows }));
const small = await orThrow(compress(memory, snapKv({ rows: 64 }))(full, { queries, positions }));

console.log(`full:  ${rowsKept(full)} rows, ${bytesOf(full).total} bytes`);
console.log(`small: ${rowsKept(small)} rows, ${bytesOf(small).total} bytes`);

// The first positions that layer 0, head 0 kept: the host gathers its own tensors with these, or takes the rows themselves.
const kept = (await orThrow(read(memory)(small))).layers[0]?.[0];
console.log(`layer 0, head 0 keeps positions ${kept?.positions.subarray(0, 8).join(", ")}, …`);
