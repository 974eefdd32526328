import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { alignment, extend, give, type Heap, openHeap, rounded, take } from "./heap.ts";

const base = 1024;
const end = base + 64 * 200;

/** What the heap must agree with: who holds what. */
interface Model {
  readonly held: Array<{ readonly start: number; readonly bytes: number }>;
  readonly heap: Heap;
}

const freeBytes = (heap: Heap): number => heap.free.reduce((sum, { size }) => sum + size, 0);
const heldBytes = ({ held }: Model): number => held.reduce((sum, { bytes }) => sum + rounded(bytes), 0);

/** No two regions, held or free, overlap; together they fill the heap; free ones never touch. */
function checkModel(model: Model): void {
  const { heap, held } = model;
  const regions = [
    ...heap.free.map(({ start, size }) => ({ start, size })),
    ...held.map(({ start, bytes }) => ({ start, size: rounded(bytes) })),
  ];
  const sorted = regions.sort((a, b) => a.start - b.start);
  let at = base;
  for (const { start, size } of sorted) {
    assertEquals(start, at);
    assertEquals(start % alignment, 0);
    at += size;
  }
  assertEquals(at, heap.end);
  assertEquals(freeBytes(heap) + heldBytes(model), heap.end - base);
  for (const [i, span] of heap.free.entries()) {
    const next = heap.free[i + 1];
    if (next !== undefined) assertEquals(span.start + span.size < next.start, true);
  }
}

Deno.test("heap: any sequence of take, give and extend keeps regions apart, counts exactly and ends in one span", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("take" as const), n: fc.integer({ min: 1, max: 64 * 40 }) }),
    fc.record({ kind: fc.constant("give" as const), n: fc.nat() }),
    fc.record({ kind: fc.constant("extend" as const), n: fc.integer({ min: 1, max: 20 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const model: Model = { held: [], heap: openHeap(base, end) };
      for (const { kind, n } of steps) {
        if (kind === "take") {
          const largest = model.heap.free.reduce((most, { size }) => Math.max(most, size), 0);
          const start = take(model.heap, n);
          assertEquals(start === null, rounded(n) > largest, "refuses only what no span holds");
          if (start !== null) model.held.push({ start, bytes: n });
        } else if (kind === "give" && model.held.length > 0) {
          for (const { start, bytes } of model.held.splice(n % model.held.length, 1)) give(model.heap, start, bytes);
        } else if (kind === "extend") extend(model.heap, model.heap.end + n * alignment);
        checkModel(model);
      }
      for (const { start, bytes } of model.held.splice(0)) give(model.heap, start, bytes);
      assertEquals(model.heap.free, [{ start: base, size: model.heap.end - base }]);
    }),
    { numRuns: 300 },
  );
});

Deno.test("heap: takes the smallest span that fits", () => {
  const heap = openHeap(0, 64 * 10);
  const [a, b, c] = [take(heap, 64 * 3), take(heap, 64), take(heap, 64 * 2)];
  assertEquals([a, b, c], [0, 192, 256]);
  give(heap, 0, 64 * 3);
  give(heap, 256, 64 * 2);
  // Free: 3 blocks at 0, 6 blocks from 256 on.
  assertEquals(take(heap, 64 * 2), 0);
});
