/**
 * AdamW (arXiv 1711.05101) over a list of parameter arrays.
 * @module
 */

/** Running means of a parameter array's gradient and of its square. */
export interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** One step's numbers. */
export interface AdamStep {
  readonly rate: number;
  readonly decay: number;
  /** Longest gradient, over all arrays together. */
  readonly clip: number;
  /** From 1. */
  readonly step: number;
}

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/** Moments before the first step. */
export const noMoments = (count: number): Moments => ({ first: new Float32Array(count), second: new Float32Array(count) });

/** Moves `parameters` and `moments` in place: training loops own theirs. */
export function adamw(
  parameters: ReadonlyArray<Float32Array>,
  gradients: ReadonlyArray<Float32Array>,
  moments: ReadonlyArray<Moments>,
  { rate, decay, clip, step }: AdamStep,
): void {
  const length = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0));
  const factor = length > clip ? clip / length : 1;
  const [c1, c2] = [1 - BETA1 ** step, 1 - BETA2 ** step];
  for (const [j, p] of parameters.entries()) {
    const [g, m] = [gradients[j], moments[j]];
    if (g === undefined || m === undefined) continue;
    const { first, second } = m;
    for (let i = 0; i < p.length; i++) {
      const x = (g[i] ?? 0) * factor;
      const a = first[i] = BETA1 * (first[i] ?? 0) + (1 - BETA1) * x;
      const b = second[i] = BETA2 * (second[i] ?? 0) + (1 - BETA2) * x * x;
      p[i] = (p[i] ?? 0) * (1 - rate * decay) - rate * (a / c1) / (Math.sqrt(b / c2) + EPSILON);
    }
  }
}
