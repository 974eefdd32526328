/**
 * What cores of this machine can do in Wasm: multiply-adds of f32, products of bytes, bytes read. Shares in the benches are
 * of these. The loops are in `kernels/wasm/src/peak.rs`.
 * @module
 */
import { type Build, moduleBytes } from "../backends/wasm/instance.ts";
import type { Limit } from "./cases.ts";
import { summary } from "./time.ts";

/** 10^9 per second: operations for `f32`, `int7` and `int8`, bytes for `read` (of 512 MiB once: what a cache of many layers meets, not what one layer finds in a cache of the processor). */
export type Peaks = Readonly<Record<Limit, number>>;

const READ_BYTES = 512 * 2 ** 20;

/** Measures the peaks of one build on so many threads at once. Products of whole bytes are those of plain SIMD in either build. */
export async function measurePeaks(build: Build, threads: number): Promise<Peaks> {
  const measure = threads === 1 ? (one: Build) => measureBuild(one, "fastest") : (one: Build) => measureTogether(one, threads);
  const own = await measure(build);
  const plain = build === "simd128" ? own : await measure("simd128");
  return { f32: own.f32, int7: own.products, int8: plain.products, read: own.read };
}

/** What one thread found. */
interface Found {
  readonly f32: number;
  readonly products: number;
  readonly read: number;
}

/** The sum over threads that measure at the same time. */
async function measureTogether(build: Build, threads: number): Promise<Found> {
  const workers = Array.from({ length: threads }, () => new Worker(new URL("./peak_worker.ts", import.meta.url), { type: "module" }));
  const found = await Promise.all(workers.map((worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<Found>();
    worker.onmessage = ({ data }: MessageEvent<Found>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(build);
    return promise;
  }));
  for (const worker of workers) worker.terminate();
  const sum = (of: (one: Found) => number): number => found.reduce((total, one) => total + of(one), 0);
  return { f32: sum((one) => one.f32), products: sum((one) => one.products), read: sum((one) => one.read) };
}

/** The peaks of this thread: of the fastest of several runs, or the median where other threads, which may end sooner, are to be met. */
export async function measureBuild(build: Build, which: "fastest" | "median"): Promise<Found> {
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
  const rate = (amount: number, work: () => void): number => {
    work();
    const seconds = Array.from({ length: 7 }, () => {
      const start = performance.now();
      work();
      return (performance.now() - start) / 1000;
    });
    return amount / summary(seconds)[which] / 1e9;
  };
  const [loops, from] = [4_000_000, call("kf_heap_base")];
  return {
    f32: rate(loops * call("peak_f32_ops"), () => call("peak_f32_fma", loops, 1.5)),
    products: rate(loops * call("peak_int8_ops"), () => call("peak_int8_dot", loops, 0x01020304)),
    read: rate(READ_BYTES, () => call("peak_read", from, READ_BYTES, 1)),
  };
}
