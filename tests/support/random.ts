/**
 * Seeded numbers for tests, apart from those of the conformance table: mulberry32, the same on every machine.
 * @module
 */

/** A stream of numbers in [0, 1), 32 bits of each. */
export function uniforms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A stream of whole numbers in [0, below). */
export function draws(seed: number): (below: number) => number {
  const next = uniforms(seed);
  return (below) => Math.floor(next() * below);
}
