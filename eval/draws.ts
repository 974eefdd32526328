/**
 * Random numbers by address: the same seed and address give the same number, whatever was drawn before. Items of an evaluation so never
 * depend on each other or on the order in which they are made.
 * @module
 */

/** A number in [0, 1) with 32 random bits.
 *
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * assertEquals(draw(1, "needle", 3), draw(1, "needle", 3));
 * assert(draw(1, "needle", 3) !== draw(1, "needle", 4));
 * ```
 */
export function draw(seed: number, ...address: ReadonlyArray<string | number>): number {
  let h = mixed(seed | 0);
  for (const char of address.join("\u0000")) h = mixed(h ^ (char.codePointAt(0) ?? 0));
  return mixed(h ^ 0x5bd1e995) / 2 ** 32;
}

/** A whole number in [0, below). */
export const drawWhole = (below: number, seed: number, ...address: ReadonlyArray<string | number>): number =>
  Math.floor(draw(seed, ...address) * below);

/** `count` different elements in random order; all of them where there are fewer. */
export const drawSome = <A>(
  from: ReadonlyArray<A>,
  count: number,
  seed: number,
  ...address: ReadonlyArray<string | number>
): ReadonlyArray<A> =>
  from.map((value, i) => ({ value, key: draw(seed, ...address, i) })).sort((a, b) => a.key - b.key).slice(0, count).map(({ value }) =>
    value
  );

/** One 32-bit word to another, every bit depending on every bit (the finaliser of MurmurHash3 on a Weyl step). */
export function mixed(word: number): number {
  let h = (word + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
