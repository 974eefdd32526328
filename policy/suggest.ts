/**
 * Nearest known name, for errors about unknown ones.
 * @module
 */

/** All known names, and the nearest one if it is near.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(suggest("snapvk", ["snapkv", "tova"]), 'one of snapkv, tova; did you mean "snapkv"?');
 * assertEquals(suggest("banana", ["snapkv", "tova"]), "one of snapkv, tova");
 * ```
 */
export function suggest(name: string, known: ReadonlyArray<string>): string {
  const short = name.slice(0, 32).toLowerCase();
  const ranked = known.map((k) => ({ k, d: distance(short, k) })).sort((a, b) => a.d - b.d);
  const best = ranked[0];
  const hint = best !== undefined && best.d <= Math.max(1, Math.floor(best.k.length / 3)) ? `; did you mean "${best.k}"?` : "";
  return `one of ${known.join(", ")}${hint}`;
}

/** Levenshtein distance by rows. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
