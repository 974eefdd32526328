/**
 * Timing one case on a backend: checked against the reference first, then run again and again on the same memory.
 * @module
 */
import type { Backend, Binding, Weight } from "../backends/backend.ts";
import type { Buffer } from "../cache/types.ts";
import { checkOp } from "../conformance/check.ts";
import { orThrow } from "../run/or_throw.ts";
import type { BenchCase } from "./cases.ts";
import { time, type Timing } from "./time.ts";

/** A case on a backend. */
export interface OpTiming extends Timing {
  readonly name: string;
  readonly backend: string;
  /** 10^9 bytes per second of the case's floor. */
  readonly gigabytesPerSecond: number;
  /** 10^9 operations per second. */
  readonly gigaopsPerSecond: number;
}

/** Times a case as `measure` does; throws the reason if the backend disagrees with the oracle. */
export async function timeCase(
  backend: Backend,
  oracle: Backend,
  bench: BenchCase,
  measure: (open: OpenCase) => Timing | Promise<Timing>,
): Promise<OpTiming> {
  const { failures } = await checkOp(backend, oracle)(bench.one);
  if (failures.length > 0) throw new Error(`${backend.name} fails ${bench.name} before it is timed: ${failures.join("; ")}`);
  const open = await openCase(backend, bench);
  try {
    const timing = await measure(open);
    return {
      ...timing,
      name: bench.name,
      backend: backend.name,
      gigabytesPerSecond: bench.bytes / timing.median / 1e9,
      gigaopsPerSecond: bench.operations / timing.median / 1e9,
    };
  } finally {
    await open.close();
  }
}

/** A case whose memory is on a backend. */
export interface OpenCase {
  readonly run: () => void;
  /** Restores what the case changes in place: a layout that grew, for one. */
  readonly reset: () => void;
  readonly close: () => Promise<void>;
}

/** Measures run by run, each on the memory that the case begins with. */
export const runByRun = (seconds: number) => ({ run, reset }: OpenCase): Timing => time(run, { seconds, before: reset });

/** Puts a case's memory on a backend. */
export async function openCase(backend: Backend, { one }: BenchCase): Promise<OpenCase> {
  const buffers = new Map<string, Buffer>();
  const weights: Record<string, Weight> = {};
  for (const [name, { bytes }] of Object.entries(one.buffers)) {
    const buffer = await orThrow(backend.alloc(bytes.length, name));
    await orThrow(backend.write(buffer, 0, bytes));
    buffers.set(name, buffer);
  }
  for (const source of one.weights) weights[source.name] = await orThrow(backend.loadWeight(source));
  const prepared = await orThrow(backend.prepare(one.program, weights));
  const bindings: Readonly<Record<string, Binding>> = Object.fromEntries([...buffers].map(([name, buffer]) => [name, { buffer }]));
  const changing = ["layout", "position", "column"].flatMap((name) => {
    const [buffer, data] = [buffers.get(name), one.buffers[name]];
    return buffer === undefined || data === undefined ? [] : [{ buffer, bytes: data.bytes }];
  });
  return {
    run: () => {
      const done = backend.run(prepared, bindings)();
      if (done._tag === "Left") throw new Error(`${one.label}: ${done.left._tag}`);
    },
    reset: () => {
      for (const { buffer, bytes } of changing) backend.write(buffer, 0, bytes)();
    },
    close: async () => {
      await orThrow(backend.release(prepared));
      for (const weight of Object.values(weights)) await orThrow(backend.freeWeight(weight));
      for (const buffer of buffers.values()) await orThrow(backend.free(buffer));
    },
  };
}
