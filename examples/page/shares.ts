/**
 * Shares of kept rows: by position, and by what one pixel stands for.
 * @module
 */
import type { Kept } from "./messages.ts";

/** Per position the share of heads, over all layers, that keep its row. */
export function shareByPosition({ heads, tokens, map }: Kept): Float32Array {
  const shares = new Float32Array(tokens);
  for (let h = 0; h < heads; h++) {
    for (let t = 0; t < tokens; t++) shares[t] = (shares[t] ?? 0) + (map[h * tokens + t] ?? 0);
  }
  return shares.map((count) => count / heads);
}

/** Rows kept per head, all layers in order. */
export const rowsByHead = ({ heads, tokens, map }: Kept): ReadonlyArray<number> =>
  Array.from({ length: heads }, (_, h) => map.subarray(h * tokens, (h + 1) * tokens).reduce((sum, kept) => sum + kept, 0));

/** The mean of what falls into each of `columns` equal parts of a line; a part narrower than one number shows that number. */
export function columnMeans(line: ArrayLike<number>, columns: number): Float32Array {
  return Float32Array.from({ length: columns }, (_, c) => {
    const from = Math.floor(c * line.length / columns);
    const to = Math.max(from + 1, Math.floor((c + 1) * line.length / columns));
    let sum = 0;
    for (let i = from; i < to; i++) sum += line[i] ?? 0;
    return sum / (to - from);
  });
}

/** Level 0 (no head keeps it) to 5 (more than four fifths do). */
export const levelOf = (share: number): number => share <= 0 ? 0 : Math.min(5, Math.ceil(share * 5 - 1e-6));
