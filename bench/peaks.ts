/**
 * What cores of this machine can do in Wasm: multiply-adds of f32, products of bytes, bytes read. Shares in the benches are
 * of these. The loops are in `kernels/wasm/src/peak.rs`.
 * @module
 */
import { type Build, moduleBytes } from "../backends/wasm/instance.ts";
import type { Limit } from "./cases.ts";

/** 10^9 per second: operations for `f32` and `int8` (products by `i32x4.dot_i16x8`), bytes for `read` (of 512 MiB once: what a cache of many layers meets, not what one layer finds in a cache of the processor). */
export type Peaks = Readonly<Record<Limit, number>>;

/** Takes one reading of a peak. */
export type Readings = Readonly<Record<Limit, () => number>>;

const READ_BYTES = 512 * 2 ** 20;

/** Measures the peaks of one build on so many threads at once. */
export const measurePeaks = (build: Build, threads: number): Promise<Peaks> =>
  threads === 1 ? measureBuild(build, (readings) => Math.max(...readings)) : measureTogether(build, threads);

/** The sum over threads that measure at the same time. */
async function measureTogether(build: Build, threads: number): Promise<Peaks> {
  const workers = Array.from({ length: threads }, () => new Worker(new URL("./peak_worker.ts", import.meta.url), { type: "module" }));
  const found = await Promise.all(workers.map((worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<Peaks>();
    worker.onmessage = ({ data }: MessageEvent<Peaks>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(build);
    return promise;
  }));
  for (const worker of workers) worker.terminate();
  const sum = (limit: Limit): number => found.reduce((total, peaks) => total + peaks[limit], 0);
  return { f32: sum("f32"), int8: sum("int8"), read: sum("read") };
}

/** The peaks of this thread, each made of seven readings: the best of them, or the median where other threads, which may end sooner, are to be met. */
export async function measureBuild(build: Build, of: (readings: ReadonlyArray<number>) => number): Promise<Peaks> {
  const { f32, int8, read } = await openPeaks(build);
  const peak = (reading: () => number): number => {
    reading();
    return of(Array.from({ length: 7 }, reading));
  };
  return { f32: peak(f32), int8: peak(int8), read: peak(read) };
}

/** The loops of a build, with memory of their own. */
export async function openPeaks(build: Build): Promise<Readings> {
  const module = await WebAssembly.compile(await moduleBytes(build));
  const imported = WebAssembly.Module.imports(module)[0];
  const pages = READ_BYTES / 65536 + 64;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: build === "fast" });
  const { exports } = await WebAssembly.instantiate(
    module,
    imported === undefined ? {} : { [imported.module]: { [imported.name]: memory } },
  );
  const own = exports["memory"];
  if (imported === undefined && own instanceof WebAssembly.Memory) own.grow(pages);
  // Pages that nobody has written are one page of zeros to the processor.
  const filled = (own instanceof WebAssembly.Memory ? own : memory).buffer;
  new Uint8Array(filled).subarray(4 * 2 ** 20).fill(1);
  const call = (name: string, ...args: ReadonlyArray<number>): number => {
    const f = exports[name];
    if (typeof f !== "function") throw new Error(`the module has no ${name}`);
    return Number(f(...args));
  };
  const rate = (amount: number, work: () => void) => (): number => {
    const start = performance.now();
    work();
    return amount / (performance.now() - start) / 1e6;
  };
  const [loops, from] = [4_000_000, call("kf_heap_base")];
  return {
    f32: rate(loops * call("peak_f32_ops"), () => call("peak_f32_fma", loops, 1.5)),
    int8: rate(loops * call("peak_int8_ops"), () => call("peak_int8_dot", loops, 0x01020304)),
    read: rate(READ_BYTES, () => call("peak_read", from, READ_BYTES, 1)),
  };
}
