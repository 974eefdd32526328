/**
 * Comparing one buffer after a run with the oracle's. NaN fails, error is relative to the oracle's energy, and what an op
 * has no business with must be as it was.
 * @module
 */
import { type Data, type Range, sentinel } from "./case.ts";

/** How one buffer fared: complaints, and the largest error found as a share of what is allowed (0 for bits). */
export interface Comparison {
  readonly failures: ReadonlyArray<string>;
  readonly nmse: number;
}

/** Numbers at least this large in the oracle stand for "nothing visible" and must be the same bits; beside them no energy would count. */
const beyondEnergy = 1e29;

const words = (bytes: Uint8Array): Uint32Array => new Uint32Array(bytes.slice().buffer);

/** Compares `actual` with `expected`, both the buffer's bytes after the run. `counts` finds the oracle's u32 of another buffer. */
export function compareBuffer(
  name: string,
  { bytes: before, expect }: Data,
  expected: Uint8Array,
  actual: Uint8Array,
  counts: (name: string) => Uint32Array,
): Comparison {
  const untouched = firstDifference(before, actual, outside(expect.ranges, before.length));
  const kept = untouched === null ? [] : [`${name}: byte ${untouched}, which is not the op's to write, has changed`];
  if (expect._tag === "Numbers") {
    const numbers = compareNumbers(name, expect, expected, actual);
    return { ...numbers, failures: [...kept, ...numbers.failures] };
  }
  const ranges = expect._tag === "Bits" ? expect.ranges : keptRanges(expect.ranges, counts(expect.counts));
  const different = firstDifference(expected, actual, ranges);
  const bits = different === null
    ? []
    : [`${name}: word ${different >> 2} is ${wordAt(actual, different)}, the reference has ${wordAt(expected, different)}`];
  return { failures: [...kept, ...bits], nmse: 0 };
}

/** The first bytes of each range that hold as many u32 as its head keeps. */
const keptRanges = (ranges: ReadonlyArray<Range>, counts: Uint32Array): ReadonlyArray<Range> =>
  ranges.map(({ from, to }, head) => ({ from, to: Math.min(to, from + (counts[head] ?? 0) * 4) }));

const wordAt = (bytes: Uint8Array, at: number): string => `0x${(words(bytes)[at >> 2] ?? 0).toString(16).padStart(8, "0")}`;

/** The complement of ascending ranges in [0, size). */
function outside(ranges: ReadonlyArray<Range>, size: number): ReadonlyArray<Range> {
  const starts = [0, ...ranges.map(({ to }) => to)];
  const ends = [...ranges.map(({ from }) => from), size];
  return starts.map((from, i) => ({ from, to: ends[i] ?? size }));
}

function firstDifference(a: Uint8Array, b: Uint8Array, ranges: ReadonlyArray<Range>): number | null {
  for (const { from, to } of ranges) {
    for (let i = from; i < to; i++) if (a[i] !== b[i]) return i;
  }
  return null;
}

function compareNumbers(
  name: string,
  { ranges, nmse: allowed, least }: Extract<Data["expect"], { readonly _tag: "Numbers" }>,
  expected: Uint8Array,
  actual: Uint8Array,
): Comparison {
  const [want, have] = [new Float32Array(words(expected).buffer), new Float32Array(words(actual).buffer)];
  let [error, energy] = [0, 0];
  for (const { from, to } of ranges) {
    for (let i = from >> 2; i < to >> 2; i++) {
      const [x, y] = [want[i] ?? NaN, have[i] ?? NaN];
      if (Number.isNaN(x) || Number.isNaN(y)) return failed(`${name}[${i}] is ${y}, the reference has ${x}`);
      if (Math.abs(x) >= beyondEnergy || !Number.isFinite(y)) {
        if (x !== y) return failed(`${name}[${i}] is ${y}, the reference has ${x}`);
        continue;
      }
      error += (x - y) ** 2;
      energy += Math.max(Math.abs(x), least) ** 2;
    }
  }
  const nmse = error === 0 ? 0 : error / energy;
  return nmse <= allowed ? { failures: [], nmse } : { failures: [`${name}: NMSE ${nmse.toExponential(2)}, allowed is ${allowed}`], nmse };
}

const failed = (failure: string): Comparison => ({ failures: [failure], nmse: Infinity });

/** True if every byte is part of a sentinel. */
export const isSentinels = (bytes: Uint8Array): boolean => words(bytes).every((word) => word === sentinel);
