/**
 * Layouts that reach outside their memory, and the cases whose layouts are changed so.
 * @module
 */
import { assert } from "@std/assert";
import type { OpName } from "../../backends/ops.ts";
import { type Case, casesOf } from "../../conformance/mod.ts";

/** Ways to lie about where rows are. */
export const lies: Readonly<Record<string, (words: Uint32Array) => void>> = {
  "a start far outside": (words) => words.set([0xFFFFFFF0]),
  "a start just outside": (words) => words.set([1 << 20]),
  "a length beyond its capacity": (words) => words.set([(words[2] ?? 0) + 40], 1),
  "length and capacity beyond the memory": (words) => words.set([1 << 28, 1 << 28], 1),
  "a length that overflows with the start": (words) => words.set([0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF]),
};

/** Ops whose layout is what they change, by counts. */
export const byCounts: ReadonlySet<OpName> = new Set(["truncate", "rejoin", "lengthen"]);

/** A small case of one instruction whose first head holds rows of this layout. */
export function caseWithRows(op: OpName, layout: string): Case {
  const found = casesOf(op).find((one) => {
    const words = new Uint32Array(one.buffers[layout]?.bytes.slice().buffer ?? new ArrayBuffer(0));
    return one.program.body.length === 1 && (words[1] ?? 0) >= 31 && !one.label.startsWith("extend: last 0");
  });
  assert(found !== undefined, `${op} has no case with rows in its first head of ${layout}`);
  return found;
}
