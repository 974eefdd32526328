/**
 * Timing: the median of repeats, after a warm-up.
 * @module
 */
import { median } from "../eval/speeds.ts";

/** What repeats took, seconds. */
export interface Timing {
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
  readonly repeats: number;
}

/** Runs `work` for about `seconds` and at least five times; `before` runs ahead of every repeat and is not timed. */
export function time(
  work: () => void,
  { seconds = 0.4, before }: { readonly seconds?: number; readonly before?: () => void } = {},
): Timing {
  const once = (): number => {
    before?.();
    const start = performance.now();
    work();
    return (performance.now() - start) / 1000;
  };
  once();
  const rough = Math.max(once(), 1e-6);
  const repeats = Math.min(2000, Math.max(5, Math.ceil(seconds / rough)));
  return summary(Array.from({ length: repeats }, once));
}

/** One timing of several parts: the median of their medians. */
export const joined = (parts: ReadonlyArray<Timing>): Timing => ({
  median: median(parts.map((part) => part.median)),
  fastest: Math.min(...parts.map(({ fastest }) => fastest)),
  slowest: Math.max(...parts.map(({ slowest }) => slowest)),
  repeats: parts.reduce((sum, { repeats }) => sum + repeats, 0),
});

/** Median and extremes of samples in seconds. */
export function summary(samples: ReadonlyArray<number>): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (i: number): number => sorted[i] ?? NaN;
  return {
    median: median(samples),
    fastest: at(0),
    slowest: at(sorted.length - 1),
    repeats: sorted.length,
  };
}
