/**
 * Bytes to and from the device. A read also brings the status: a run that found something wrong in memory is reported by the first read after
 * it, and until then nothing else runs.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Result } from "../backend.ts";
import { shaders } from "./_shaders.ts";
import { complaints } from "./checks.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import type { HeldBuffer, Store } from "./memory.ts";

const statusBytes = 16;

/** A live buffer, and that the range lies in it. */
const window = (store: Store, buffer: Buffer, offset: number, length: number): Result<HeldBuffer> =>
  pipe(
    held(store.buffers, buffer.id, showBuffer(buffer)),
    E.chain((found) => pipe(checkRange(showBuffer(buffer), offset, length, found.buffer.bytes), E.map(() => found))),
    E.chain((found) => pipe(store.device.check(), E.map(() => found))),
  );

/** Copies bytes into a buffer. Whole words go as they are, bytes at either end through a shader. */
export const write = (store: Store, buffer: Buffer, offset: number, bytes: Uint8Array): Result<void> =>
  pipe(
    window(store, buffer, offset, bytes.length),
    E.map(({ gpu }) => {
      const end = offset + bytes.length;
      const [first, last] = [Math.ceil(offset / 4) * 4, Math.floor(end / 4) * 4];
      if (first < last) store.device.gpu.queue.writeBuffer(gpu, first, bytes as Uint8Array<ArrayBuffer>, first - offset, last - first);
      const edges = new Set([...offset < first ? [first - 4] : [], ...last < end && last >= offset ? [last] : []]);
      for (const word of edges) poke(store, gpu, word, offset, bytes);
    }),
  );

/** The bytes of a write that fall into the word at `word`. */
function poke(store: Store, target: GPUBuffer, word: number, offset: number, bytes: Uint8Array): void {
  const { gpu } = store.device;
  const mask = new Uint8Array(4).map((_, i) => word + i >= offset && word + i < offset + bytes.length ? 255 : 0);
  const bits = new Uint8Array(4).map((_, i) => bytes[word + i - offset] ?? 0);
  const params = gpu.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const wordOf = (four: Uint8Array): number => new DataView(four.buffer).getUint32(0, true);
  gpu.queue.writeBuffer(params, 0, Uint32Array.of(word / 4, wordOf(mask), wordOf(bits), 0));
  const pipeline = store.poke ??= gpu.createComputePipeline({
    layout: "auto",
    compute: { module: gpu.createShaderModule({ code: shaders.poke }) },
  });
  const encoder = gpu.createCommandEncoder({ label: "poke" });
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [{ binding: 0, resource: { buffer: params } }, { binding: 1, resource: { buffer: target } }];
  pass.setBindGroup(0, gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  params.destroy();
}

/** A copy of bytes, after every run before. Left(ShapeMismatch) if one of those runs found its operands wrong. */
export const read = (store: Store, buffer: Buffer, offset: number, length: number) => async (): Promise<Result<Uint8Array>> => {
  const found = window(store, buffer, offset, length);
  if (E.isLeft(found)) return found;
  const { gpu } = store.device;
  const [from, to] = [Math.floor(offset / 4) * 4, Math.ceil((offset + length) / 4) * 4];
  const staging = store.device.watched(() =>
    gpu.createBuffer({ label: "staging", size: to - from + statusBytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  );
  try {
    const encoder = gpu.createCommandEncoder({ label: "read" });
    if (to > from) encoder.copyBufferToBuffer(found.right.gpu, from, staging, 0, to - from);
    encoder.copyBufferToBuffer(store.status, 0, staging, to - from, statusBytes);
    gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const image = new Uint8Array(staging.getMappedRange().slice(0));
    const complaint = complaintOf(store, new DataView(image.buffer, to - from));
    const alive = store.device.check();
    if (E.isLeft(alive)) return alive;
    return complaint === null ? E.right(image.slice(offset - from, offset - from + length)) : E.left(complaint);
  } catch (thrown) {
    return E.left(await store.device.verdict(`it could not be read: ${String(thrown)}`));
  } finally {
    staging.destroy();
  }
};

/** What the status says, which is then cleared. */
function complaintOf(store: Store, view: DataView): KvError | null {
  const [code, index, id] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
  const program = store.unread.get(id);
  store.unread.clear();
  if (code === 0) return null;
  store.device.gpu.queue.writeBuffer(store.status, 0, new Uint32Array(statusBytes / 4));
  const [expected, actual] = complaints[code] ?? ["a known code", `${code}`];
  const at = program === undefined ? `program #${id}` : `${program.label}[${index}] ${program.body[index]?.op}`;
  return { _tag: "ShapeMismatch", at, expected, actual };
}
