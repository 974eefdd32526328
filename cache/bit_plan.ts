/**
 * How many bits which coefficients get: KVTC's dynamic programme (arXiv 2511.01815, section 3 and appendix B) over contiguous groups of
 * coefficients that share a scale and a shift per token.
 * @module
 */

/** How a group's coefficients are stored: not at all, on an even grid of 2, 4 or 8 bits, or as 8-bit floats (E4M3). */
export const coefficientTypes = ["none", "int2", "int4", "fp8", "int8"] as const;

/** One of {@link coefficientTypes}. */
export type CoefficientType = typeof coefficientTypes[number];

/** Bits of one coefficient. */
export const bitsOf: Readonly<Record<CoefficientType, number>> = { none: 0, int2: 2, int4: 4, fp8: 8, int8: 8 };

/** Coefficients that a group may have. */
export const groupSizes: ReadonlyArray<number> = [1, 16, 64, 256, 1024];

/** Bits per token that a group costs beside its codes: a scale and a shift of 16 bits. */
export const GROUP_OVERHEAD = 32;

/** Neighbouring coefficients, in the order of falling variance. */
export interface CoefficientGroup {
  /** How many. */
  readonly size: number;
  /** How they are stored. */
  readonly type: CoefficientType;
}

/** What the programme is told. */
export interface BitProblem {
  /** Squared length of all calibration rows in coefficient i, f64 [r]. */
  readonly energy: Float64Array;
  /** Squared error of the group of `size` coefficients that ends before `end` under a type; asked for 0 < size <= end only, never for `none`. */
  readonly error: (end: number, size: number, type: CoefficientType) => number;
  /** Default {@link groupSizes}. */
  readonly sizes?: ReadonlyArray<number>;
  /** Default {@link coefficientTypes}. */
  readonly types?: ReadonlyArray<CoefficientType>;
  /** Default {@link GROUP_OVERHEAD}. */
  readonly overhead?: number;
}

/** Bits per token of a group: none costs nothing. */
export const groupBits = ({ size, type }: CoefficientGroup, overhead: number = GROUP_OVERHEAD): number =>
  type === "none" ? 0 : size * bitsOf[type] + overhead;

/** A plan with what it costs and leaves. */
export interface BitPlan {
  /** From coefficient 0 on; the last group is stored, what follows it is not. */
  readonly groups: ReadonlyArray<CoefficientGroup>;
  /** Bits per token, at most the budget. */
  readonly bits: number;
  /** Squared error over the calibration rows, coefficients without bits included. */
  readonly error: number;
}

/** The plan of least error within a budget of bits per token. Optimal over all ways to cut the coefficients into such groups.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * // Two coefficients: one group of both costs 8 bits and is exact, the first alone costs 6.
 * const problem = { energy: Float64Array.of(40, 4), error: () => 0, sizes: [1, 2], types: ["none", "int2"], overhead: 4 } as const;
 * assertEquals([5, 6, 8].map((budget) => planBits(problem, budget).error), [44, 4, 0]);
 * ```
 */
export function planBits(
  { energy, error, sizes = groupSizes, types = coefficientTypes, overhead = GROUP_OVERHEAD }: BitProblem,
  budget: number,
): BitPlan {
  const choices = sizes.flatMap((size) => types.map((type) => ({ size, type, bits: groupBits({ size, type }, overhead) })));
  const whole = energy.reduce((sum, e) => sum + e, 0);
  const unit = choices.reduce((a, { bits }) => gcd(a, bits), 0) || 1;
  const width = Math.max(0, Math.floor(budget / unit)) + 1;
  // least[i][b]: the error with b units where coefficients from i on are zero; taken[i][b]: the choice that ends before i, or none.
  let before: ReadonlyArray<Float64Array> = [new Float64Array(width).fill(whole)];
  const taken: Int16Array[] = [];
  for (let i = 1; i <= energy.length; i++) {
    const row = new Float64Array(width).fill(Infinity);
    const choice = new Int16Array(width).fill(-1);
    for (const [c, { size, type, bits }] of choices.entries()) {
      const from = before[i - size];
      if (size > i || from === undefined) continue;
      const gain = type === "none" ? 0 : energyOf(energy, i - size, i) - error(i, size, type);
      const cost = bits / unit;
      for (let b = cost; b < width; b++) {
        const value = (from[b - cost] ?? Infinity) - gain;
        if (value < (row[b] ?? Infinity)) {
          row[b] = value;
          choice[b] = c;
        }
      }
    }
    taken.push(choice);
    before = [...before, row];
  }
  return walkBack(choices, taken, width - 1, unit, before[energy.length]?.[width - 1] ?? whole);
}

function walkBack(
  choices: ReadonlyArray<CoefficientGroup & { readonly bits: number }>,
  taken: ReadonlyArray<Int16Array>,
  units: number,
  unit: number,
  error: number,
): BitPlan {
  const groups: CoefficientGroup[] = [];
  let bits = 0;
  for (let i = taken.length, b = units; i > 0;) {
    const choice = choices[taken[i - 1]?.[b] ?? -1];
    if (choice === undefined) break;
    groups.unshift({ size: choice.size, type: choice.type });
    bits += choice.bits;
    b -= choice.bits / unit;
    i -= choice.size;
  }
  const last = groups.findLastIndex(({ type }) => type !== "none");
  return { groups: groups.slice(0, last + 1), bits, error: Math.max(0, error) };
}

const energyOf = (energy: Float64Array, from: number, to: number): number => energy.subarray(from, to).reduce((sum, e) => sum + e, 0);

const gcd = (a: number, b: number): number => b === 0 ? a : gcd(b, a % b);

/** Coefficients that a plan stores or skips: those from this number on are zero. */
export const reachOf = (groups: ReadonlyArray<CoefficientGroup>): number => groups.reduce((sum, { size }) => sum + size, 0);
