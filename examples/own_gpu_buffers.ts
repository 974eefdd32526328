/**
 * A host whose rows lie in `GPUBuffer`s of its own device: they are pruned where they are, and the smaller ones are buffers of the same device,
 * ready to be bound. Run with `deno run -A examples/own_gpu_buffers.ts`.
 * @module
 */
import { bytesOf, compress, fromBuffers, openMemory, orThrow, readPositions, uniformShape } from "../mod.ts";
import { keyDiff } from "../papers/mod.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";

const [kvHeads, rows, headDim] = [2, 256, 64];
const shape = uniformShape({ layers: 1, queryHeads: 4, kvHeads, headDim });

/** Stands for what the host's model left on its device: keys after rotation, or values, f32 [kvHeads, rows, headDim]. */
function hostBuffer(device: GPUDevice, phase: number): GPUBuffer {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: kvHeads * rows * headDim * 4, usage });
  device.queue.writeBuffer(buffer, 0, Float32Array.from({ length: buffer.size / 4 }, (_, i) => Math.sin(i * i * 1e-3 + phase)));
  return buffer;
}

async function prune(device: GPUDevice): Promise<void> {
  const own = { keys: hostBuffer(device, 0), values: hostBuffer(device, 1) };
  await using backend = await orThrow(openWebGpu({ device }));
  using memory = openMemory(backend);
  const layer = { keys: await orThrow(backend.adopt(own.keys, "keys")), values: await orThrow(backend.adopt(own.values, "values")) };
  const full = await orThrow(fromBuffers(memory)({ shape, layers: [layer], rows, dtype: "f32" }));
  const small = await orThrow(compress(memory, keyDiff({ rows: 64 }))(full));

  // One policy, the same rows for every head: the new keys are f32 [kvHeads, 64, headDim] from the first byte on.
  const [first] = small.layers;
  const keys = first?._tag === "Own" ? first.tiers[0]?.storage.keys : undefined;
  const bound = keys === undefined ? null : await orThrow(backend.gpuBuffer(keys));
  console.log(
    `on ${backend.adapter.name}: ${own.keys.size} bytes of keys became ${bound?.size}; the cache holds ${bytesOf(small).total} bytes`,
  );
  const [head] = (await orThrow(readPositions(memory)(small)))[0] ?? [];
  console.log(`head 0 keeps positions ${head?.subarray(0, 6).join(", ")}, …`);

  // The host's buffers and its device are still the host's.
  device.pushErrorScope("validation");
  device.queue.writeBuffer(own.keys, 0, new Float32Array(4));
  console.log(`the host's buffers are ${await device.popErrorScope() === null ? "still the host's" : "gone"}`);
}

const adapter = await navigator.gpu?.requestAdapter() ?? null;
if (adapter === null) console.log("there is no graphics adapter here, not even one in software");
else {
  const device = await adapter.requestDevice();
  await prune(device);
  device.destroy();
}
