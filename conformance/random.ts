/**
 * Seeded numbers for cases: the same seed gives the same table on every machine.
 * @module
 */

/** A stream of numbers. Each call gives the next one. */
export interface Random {
  /** In [0, 1), 32 bits of it. */
  readonly uniform: () => number;
  /** A whole number in [0, below). */
  readonly integer: (below: number) => number;
  /** f32 [count], near the normal distribution: the sum of four uniform numbers, centred, variance `deviation` squared. */
  readonly normals: (count: number, deviation?: number) => Float32Array<ArrayBuffer>;
}

/** The stream of a seed: xorshift32 (Marsaglia 2003) after a multiplicative scramble, so that near seeds give far streams.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(randomOf("rank", 1).uniform(), randomOf("rank", 1).uniform());
 * ```
 */
export function randomOf(text: string, seed: number): Random {
  let state = 0x9E3779B9 ^ seed;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  state = state === 0 ? 1 : state;
  const uniform = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const normal = (deviation: number): number => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3) * deviation;
  return {
    uniform,
    integer: (below) => Math.floor(uniform() * below),
    normals: (count, deviation = 1) => Float32Array.from({ length: count }, () => normal(deviation)),
  };
}
