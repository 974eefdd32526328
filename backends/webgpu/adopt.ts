/**
 * Buffers of the caller's.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Result } from "../backend.ts";
import { mostBytes, type Store } from "./memory.ts";

/** Takes a buffer of the caller's into use, after the device itself has tried a copy from it. */
export async function adopt(store: Store, gpu: GPUBuffer, label: string): Promise<Result<Buffer>> {
  const refuse = (expected: string, actual: string): E.Either<KvError, never> =>
    E.left({ _tag: "ShapeMismatch", at: `adopted buffer ${label}`, expected, actual });
  const needed = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  if ((gpu.usage & needed) !== needed) return refuse("usage STORAGE | COPY_SRC | COPY_DST", `usage ${gpu.usage}`);
  if (gpu.size === 0 || gpu.size % 4 !== 0) return refuse("a size that is a multiple of 4, at least 4 bytes", `${gpu.size} bytes`);
  if (gpu.size > mostBytes(store.device)) {
    return refuse(`at most ${mostBytes(store.device)} bytes, what one binding may hold`, `${gpu.size} bytes`);
  }
  if (gpu.mapState !== "unmapped") return refuse("a buffer that is not mapped", `one that is ${gpu.mapState}`);
  const complaint = await trial(store, gpu);
  if (complaint !== null) return refuse("a live buffer of the same device", complaint);
  const buffer: Buffer = { id: store.nextId++, bytes: gpu.size, label };
  store.buffers.set(buffer.id, { buffer, gpu, isAdopted: true });
  return E.right(buffer);
}

/** What the device says to a copy of the first word, or null. */
async function trial({ device: { gpu: device }, empty }: Store, source: GPUBuffer): Promise<string | null> {
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder({ label: "adopt" });
  encoder.copyBufferToBuffer(source, 0, empty, 0, 4);
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  return error === null ? null : error.message;
}
