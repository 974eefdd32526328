/**
 * The table of ops on WebGPU: each case is checked against the reference, then timed, and its counted bytes are put beside what the same device
 * copies in the same time.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { orThrow } from "../run/or_throw.ts";
import { type BenchCase, benchCases } from "./cases.ts";
import { type OpTiming, timeCase } from "./run_case.ts";
import { summary, type Timing } from "./time.ts";

/** A case on the device. */
export interface GpuTiming extends OpTiming {
  /** Bytes that the op must read or write. */
  readonly bytes: number;
  /** Of the bytes per second that a copy moves. */
  readonly share: number;
}

/** A device and how it fared. */
export interface GpuReport {
  readonly adapter: string;
  readonly isSoftware: boolean;
  readonly features: ReadonlyArray<string>;
  /** 10^9 bytes per second, read and written, of copies of 64 MiB. */
  readonly copy: number;
  readonly ops: ReadonlyArray<GpuTiming>;
}

const COPY_BYTES = 64 * 2 ** 20;

/** Most runs between two waits for the device: one wait takes as long as many small ops. What a run changes must be restored before the next. */
const mostRuns = ({ one }: BenchCase): number => one.program.body.some(({ op }) => op === "append") ? 1 : 16;

/** Seconds per piece of work, so many at a time that waiting does not show, until `seconds` have passed and at least three times; `wait` ends
 * when the device has. */
async function timed(work: () => void, wait: () => Promise<void>, most: number, seconds: number): Promise<Timing> {
  const once = async (count: number): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < count; i++) work();
    await wait();
    return (performance.now() - start) / 1000 / count;
  };
  await once(1);
  const count = Math.max(1, Math.min(most, Math.ceil(0.05 / await once(1))));
  const samples: number[] = [];
  for (const start = performance.now(); samples.length < 3 || performance.now() - start < seconds * 1000;) samples.push(await once(count));
  return summary(samples);
}

async function copyRate(device: GPUDevice, wait: () => Promise<void>, seconds: number): Promise<number> {
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [device.createBuffer({ size: COPY_BYTES, usage }), device.createBuffer({ size: COPY_BYTES, usage })];
  const copy = (): void => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, COPY_BYTES);
    device.queue.submit([encoder.finish()]);
  };
  const { fastest } = await timed(copy, wait, 4, seconds);
  from.destroy();
  to.destroy();
  return 2 * COPY_BYTES / fastest / 1e9;
}

/** What every case is timed with. */
interface Bench {
  readonly backend: Backend;
  readonly oracle: Backend;
  readonly wait: () => Promise<void>;
  readonly seconds: number;
  readonly copy: number;
}

async function timeOp({ backend, oracle, wait, seconds, copy }: Bench, bench: BenchCase): Promise<GpuTiming> {
  const timing = await timeCase(backend, oracle, bench, ({ run, reset }) => {
    const work = (): void => {
      reset();
      run();
    };
    return timed(work, wait, mostRuns(bench), seconds);
  });
  return { ...timing, bytes: bench.bytes, share: timing.gigabytesPerSecond / copy };
}

/** Times every case on the device that the runtime gives; `note` hears of the device, and of each case as it is done. */
export async function benchWebGpu(seconds: number, note: (line: string) => void): Promise<GpuReport> {
  await using backend = await orThrow(openWebGpu());
  await using oracle = await orThrow(openReference());
  const { device, adapter: { name, isSoftware, features } } = backend;
  // A read comes after all that was submitted before.
  const fence = await orThrow(backend.alloc(4, "fence"));
  const wait = async (): Promise<void> => void await orThrow(backend.read(fence, 0, 4));
  const copy = await copyRate(device, wait, seconds);
  const kind = isSoftware ? "SOFTWARE ADAPTER, no graphics device: its speed says nothing of one" : "graphics device";
  note(`\nwebgpu on ${name} (${kind}), ${features.join(", ") || "no optional features"}; copies at ${copy.toFixed(2)} GB/s`);
  const ops: GpuTiming[] = [];
  for (const bench of benchCases()) {
    const timing = await timeOp({ backend, oracle, wait, seconds, copy }, bench);
    ops.push(timing);
    note(lineOf(timing));
  }
  return { adapter: name, isSoftware, features, copy, ops };
}

const fixed = (n: number, digits: number, width: number): string => n.toFixed(digits).padStart(width);

const lineOf = ({ name, median, bytes, gigaopsPerSecond, gigabytesPerSecond, share }: GpuTiming): string =>
  `  ${name.padEnd(36)} ${fixed(median * 1e6, 1, 11)} us ${fixed(bytes / 1e6, 3, 8)} MB ${fixed(gigaopsPerSecond, 2, 8)} GOP/s ${
    fixed(gigabytesPerSecond, 3, 8)
  } GB/s ${fixed(100 * share, 1, 5)} % of copying`;
