/** Laws of selecting rows, on the reference; conformance carries them over to the other backends. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { rank, threshold } from "../backends/reference/rank.ts";
import { blankWords, operandsOf, u32 } from "./kernel_operands.ts";

const runs = { numRuns: 200 };

/** Few different scores, so that ties abound; NaN among them. */
const scores = fc.array(fc.oneof(fc.integer({ min: -2, max: 2 }), fc.constant(NaN), fc.constant(-0), fc.double()), { maxLength: 20 });

/** Kept indices of one head at positions 0, 1, 2, …. */
function keptOf(score: ReadonlyArray<number>, run: (operands: ReturnType<typeof operandsOf>) => void): ReadonlyArray<number> {
  const [keep, counts] = [blankWords(score.length), blankWords(1)];
  run(operandsOf({
    score: Float32Array.from(score),
    position: u32(...score.keys()),
    layout: u32(0, score.length, score.length),
    newest: u32(Math.max(0, score.length - 1)),
    keep,
    counts,
  }));
  return [...keep.subarray(0, counts[0])];
}

const ranked = (score: ReadonlyArray<number>, count: number, sinks: number, recent: number): ReadonlyArray<number> =>
  keptOf(score, (operands) => rank({ heads: 1, mode: "perHead", count, floor: 0, sinks, recent }, operands));

const small = fc.integer({ min: 0, max: 6 });
const count = fc.integer({ min: 0, max: 22 });

Deno.test("rank keeps exactly its budget, ascending, with every protected row", () => {
  fc.assert(
    fc.property(scores, count, small, small, (score, budget, sinks, recent) => {
      const kept = ranked(score, budget, sinks, recent);
      const shielded = [...score.keys()].filter((t) => t < sinks || t + recent > score.length - 1);
      assertEquals(kept.length, Math.min(score.length, Math.max(budget, shielded.length)));
      assertEquals(kept, kept.toSorted((a, b) => a - b));
      assertEquals(shielded.filter((t) => !kept.includes(t)), []);
    }),
    runs,
  );
});

Deno.test("rank drops no row that beats one it keeps outside protection", () => {
  fc.assert(
    fc.property(scores, count, small, small, (score, budget, sinks, recent) => {
      const kept = new Set(ranked(score, budget, sinks, recent));
      const value = (t: number): number => Math.fround(score[t] ?? NaN);
      const open = [...score.keys()].filter((t) => t >= sinks && t + recent <= score.length - 1);
      const beats = (a: number, b: number): boolean =>
        value(a) > value(b) || (!Number.isNaN(value(a)) && Number.isNaN(value(b))) ||
        ((value(a) === value(b) || (Number.isNaN(value(a)) && Number.isNaN(value(b)))) && a < b);
      for (const gone of open.filter((t) => !kept.has(t))) {
        for (const stayed of open.filter((t) => kept.has(t))) assert(beats(stayed, gone), `${stayed} against ${gone}`);
      }
    }),
    runs,
  );
});

Deno.test("rank is monotone: a larger budget keeps all that a smaller one does", () => {
  fc.assert(
    fc.property(scores, count, count, small, small, (score, a, b, sinks, recent) => {
      const more = ranked(score, Math.max(a, b), sinks, recent);
      assertEquals(ranked(score, Math.min(a, b), sinks, recent).filter((t) => !more.includes(t)), []);
    }),
    runs,
  );
});

Deno.test("rank looks at the order of scores only: any increasing function of them keeps the same rows", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { maxLength: 20 }), count, (score, budget) => {
      assertEquals(ranked(score, budget, 1, 1), ranked(score.map((s) => s ** 3 + 5), budget, 1, 1));
    }),
    runs,
  );
});

Deno.test("threshold keeps at least its floor, and all and only what passes where that is enough", () => {
  fc.assert(
    fc.property(scores, small, fc.integer({ min: -2, max: 2 }), (score, floor, value) => {
      const kept = keptOf(score, (operands) => threshold({ heads: 1, value, floor, sinks: 0, recent: 0 }, operands));
      const passing = [...score.keys()].filter((t) => Math.fround(score[t] ?? NaN) >= value);
      assertEquals(kept.length, Math.max(passing.length, Math.min(score.length, floor)));
      assertEquals(passing.filter((t) => !kept.includes(t)), []);
    }),
    runs,
  );
});
