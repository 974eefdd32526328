/**
 * Intervals by resampling documents: items of one document are not independent, and all methods see the same documents, so differences
 * between methods are taken inside each resample.
 * @module
 */
import { drawWhole, mixed } from "./draws.ts";

/** A number with its 95 % interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Documents it rests on. */
  readonly documents: number;
}

/** Resamples of every interval, and their seed. */
export const RESAMPLES = 10_000;
const SEED = 20_260;

/** Numerators and denominators by document, in one order for all methods: what is reported is the ratio of their sums. */
export interface Ratios {
  readonly over: ReadonlyArray<number>;
  readonly under: ReadonlyArray<number>;
}

/** Documents of each resample. */
export function resamples(documents: number, count: number = RESAMPLES): ReadonlyArray<Uint32Array> {
  return Array.from({ length: count }, (_, r) => {
    const start = mixed(SEED + drawWhole(2 ** 31, SEED, r));
    return Uint32Array.from({ length: documents }, (_, d) => Math.floor(mixed(start ^ d) / 2 ** 32 * documents));
  });
}

const ratioOf = ({ over, under }: Ratios, chosen: Uint32Array): number => {
  let [a, b] = [0, 0];
  for (const d of chosen) {
    a += over[d] ?? 0;
    b += under[d] ?? 0;
  }
  return a / b;
};

/** The ratio of the sums over all documents. */
export const ratio = (ratios: Ratios): number => ratioOf(ratios, Uint32Array.from(ratios.over.keys()));

/** What `of` makes of the ratios, with the interval that resampling documents gives. Null where nothing was measured.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const one = { over: [1, 1, 1], under: [2, 2, 2] };
 * assertEquals(intervalOf([one], ([x = 0]) => x, resamples(3, 100)), { value: 0.5, low: 0.5, high: 0.5, documents: 3 });
 * ```
 */
export function intervalOf(
  methods: ReadonlyArray<Ratios>,
  of: (ratios: ReadonlyArray<number>) => number,
  chosen: ReadonlyArray<Uint32Array>,
): Interval | null {
  const value = of(methods.map(ratio));
  if (!Number.isFinite(value)) return null;
  const drawn = chosen.map((documents) => of(methods.map((ratios) => ratioOf(ratios, documents)))).filter(Number.isFinite).sort((a, b) =>
    a - b
  );
  const at = (share: number): number => drawn[Math.min(drawn.length - 1, Math.floor(share * drawn.length))] ?? value;
  const documents = methods[0]?.under.filter((weight) => weight > 0).length ?? 0;
  return { value, low: at(0.025), high: at(0.975), documents };
}
