/**
 * The free list over linear memory: best fit, neighbours join at once, sizes and addresses are multiples of 64 bytes. It knows
 * addresses only; growing memory and counting by kind is `memory.ts`.
 * @module
 */

/** Addresses and sizes are multiples of this, bytes: a cache line, and wide enough for any vector load. */
export const alignment = 64;

/** Free bytes [start, start + size). */
export interface Span {
  readonly start: number;
  readonly size: number;
}

/** Free spans, ascending, never touching; `end` is the first byte beyond the heap. Owned by one backend value. */
export interface Heap {
  readonly free: Span[];
  end: number;
}

/** Bytes as they are held. */
export const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** A heap over [base, end), both multiples of {@link alignment}. */
export const openHeap = (base: number, end: number): Heap => ({ free: end > base ? [{ start: base, size: end - base }] : [], end });

/** Takes the smallest free span that holds `bytes` (rounded up, above 0); its address, or null if none does. */
export function take(heap: Heap, bytes: number): number | null {
  const size = rounded(bytes);
  let best = -1;
  for (let i = 0; i < heap.free.length; i++) {
    const span = heap.free[i];
    if (span !== undefined && span.size >= size && (best < 0 || span.size < (heap.free[best]?.size ?? Infinity))) best = i;
  }
  const span = heap.free[best];
  if (span === undefined) return null;
  const rest = span.size - size;
  heap.free.splice(best, 1, ...(rest > 0 ? [{ start: span.start + size, size: rest }] : []));
  return span.start;
}

/** Gives `bytes` (as taken) at `start` back. */
export function give(heap: Heap, start: number, bytes: number): void {
  const size = rounded(bytes);
  const after = heap.free.findIndex((span) => span.start > start);
  const at = after < 0 ? heap.free.length : after;
  const [left, right] = [heap.free[at - 1], heap.free[at]];
  const joinsLeft = left !== undefined && left.start + left.size === start;
  const joinsRight = right !== undefined && start + size === right.start;
  const span: Span = {
    start: joinsLeft ? left.start : start,
    size: size + (joinsLeft ? left.size : 0) + (joinsRight ? right.size : 0),
  };
  heap.free.splice(at - (joinsLeft ? 1 : 0), (joinsLeft ? 1 : 0) + (joinsRight ? 1 : 0), span);
}

/** Moves the end up to `end`. */
export function extend(heap: Heap, end: number): void {
  const start = heap.end;
  heap.end = end;
  give(heap, start, end - start);
}

/** How many bytes the end must move for a span of `bytes` to be free there. */
export function missing(heap: Heap, bytes: number): number {
  const last = heap.free.at(-1);
  return rounded(bytes) - (last !== undefined && last.start + last.size === heap.end ? last.size : 0);
}
