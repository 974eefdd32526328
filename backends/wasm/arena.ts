/**
 * Where temporaries lie: one arena shared by all programs, in which temporaries whose lives do not overlap share bytes.
 * @module
 */
import { rounded } from "./heap.ts";

/** A temporary and the instructions, first and last, that touch it. `from > to` means none does. */
export interface Life {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** Offsets in the order of the lives, and the size of the whole, bytes. */
export interface Placement {
  readonly offsets: ReadonlyArray<number>;
  readonly bytes: number;
}

interface Placed extends Life {
  readonly start: number;
  readonly end: number;
}

/** Places the largest first, each at the lowest offset where nothing that lives at the same time lies.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const { offsets, bytes } = place([{ bytes: 64, from: 0, to: 1 }, { bytes: 128, from: 1, to: 2 }, { bytes: 64, from: 2, to: 3 }]);
 * assertEquals([offsets, bytes], [[128, 0, 128], 192]);
 * ```
 */
export function place(lives: ReadonlyArray<Life>): Placement {
  const offsets = lives.map(() => 0);
  const placed: Placed[] = [];
  const bySize = lives.map((life, i) => ({ life, i })).filter(({ life }) => life.bytes > 0 && life.from <= life.to)
    .sort((a, b) => b.life.bytes - a.life.bytes || a.i - b.i);
  for (const { life, i } of bySize) {
    const start = lowest(placed.filter((other) => other.from <= life.to && life.from <= other.to), rounded(life.bytes));
    offsets[i] = start;
    placed.push({ ...life, start, end: start + rounded(life.bytes) });
  }
  return { offsets, bytes: placed.reduce((most, { end }) => Math.max(most, end), 0) };
}

/** The lowest offset where `size` bytes miss all of `others`. */
function lowest(others: ReadonlyArray<Placed>, size: number): number {
  let start = 0;
  for (const other of others.toSorted((a, b) => a.start - b.start)) {
    if (start + size <= other.start) break;
    start = Math.max(start, other.end);
  }
  return start;
}
