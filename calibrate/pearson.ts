/**
 * Fit quality as the paper reports it.
 * @module
 */

/** Squared Pearson correlation per column of two f32 [count, width]; 0 where one does not vary. Source: KVzap, arXiv 2601.07891, Table 1.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(squaredPearson(Float32Array.of(1, 2, 3), Float32Array.of(-5, -7, -9), 1), [1]);
 * ```
 */
export function squaredPearson(a: Float32Array, b: Float32Array, width: number): ReadonlyArray<number> {
  const count = a.length / width;
  return Array.from({ length: width }, (_, c) => {
    let [sa, sb] = [0, 0];
    for (let i = c; i < a.length; i += width) [sa, sb] = [sa + (a[i] ?? 0), sb + (b[i] ?? 0)];
    const [ma, mb] = [sa / count, sb / count];
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = c; i < a.length; i += width) {
      const [x, y] = [(a[i] ?? 0) - ma, (b[i] ?? 0) - mb];
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    return aa === 0 || bb === 0 ? 0 : ab * ab / (aa * bb);
  });
}
