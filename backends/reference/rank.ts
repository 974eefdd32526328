/**
 * Which rows stay: `rank` by count, `threshold` by value; `leaving`, where those begin that a threshold moves; `split`, which pass on.
 * @module
 */
import { at, headsOf, type Kernel, type Operands } from "./kernel.ts";

/** One row in competition. */
interface Candidate {
  readonly head: number;
  /** Index within the segment. */
  readonly index: number;
  readonly position: number;
  readonly score: number;
  readonly isProtected: boolean;
}

interface Protection {
  readonly heads: number;
  readonly sinks: number;
  readonly recent: number;
}

/** Every head's rows. NaN becomes the lowest score of all; -0 equals 0. */
function candidates({ heads, sinks, recent }: Protection, operands: Operands): ReadonlyArray<ReadonlyArray<Candidate>> {
  const [score, position, newest] = [operands.f32("score"), operands.u32("position"), at(operands.u32("newest"), 0)];
  return headsOf(operands.u32("layout"), heads).map(({ start, length }, head) =>
    Array.from({ length }, (_, index) => {
      const [value, p] = [at(score, start + index), at(position, start + index)];
      return { head, index, position: p, score: value, isProtected: p < sinks || p + recent > newest };
    })
  );
}

/** Higher numbers first; NaN after -Infinity. */
export function byScore(a: Pick<Candidate, "score">, b: Pick<Candidate, "score">): number {
  if (Number.isNaN(a.score) || Number.isNaN(b.score)) return Number(Number.isNaN(a.score)) - Number(Number.isNaN(b.score));
  return a.score === b.score ? 0 : a.score > b.score ? -1 : 1;
}

/** Within a head: protected first, then higher score, then lower position. */
const inHead = (a: Candidate, b: Candidate): number =>
  Number(b.isProtected) - Number(a.isProtected) || byScore(a, b) || a.position - b.position || a.index - b.index;

/** Between heads: higher score, then lower head, then lower position. */
const acrossHeads = (a: Candidate, b: Candidate): number =>
  byScore(a, b) || a.head - b.head || a.position - b.position || a.index - b.index;

/** The rows of one head that stay whatever others do: protected ones, and the best up to `floor` in all. */
function secured(rows: ReadonlyArray<Candidate>, floor: number): ReadonlyArray<Candidate> {
  const shielded = rows.filter((row) => row.isProtected).length;
  return rows.toSorted(inHead).slice(0, Math.max(shielded, floor));
}

/** Writes each head's kept indices, ascending, at its segment's slots. */
function writeKept(kept: ReadonlyArray<ReadonlyArray<Candidate>>, operands: Operands): void {
  const [keep, counts] = [operands.u32("keep"), operands.u32("counts")];
  for (const [h, { start }] of headsOf(operands.u32("layout"), kept.length).entries()) {
    const rows = kept[h] ?? [];
    keep.set(rows.map((row) => row.index).toSorted((a, b) => a - b), start);
    counts[h] = rows.length;
  }
}

/** Keeps `count` rows per head, or `heads * count` rows of the layer. */
export const rank: Kernel<"rank"> = (params, operands) => {
  const all = candidates(params, operands);
  if (params.mode === "perHead") return writeKept(all.map((rows) => secured(rows, params.count)), operands);
  const safe = all.map((rows) => secured(rows, params.floor));
  const isSafe = new Set(safe.flat());
  const open = Math.max(0, params.heads * params.count - isSafe.size);
  const best = new Set(all.flat().filter((row) => !isSafe.has(row)).sort(acrossHeads).slice(0, open));
  writeKept(all.map((rows) => rows.filter((row) => isSafe.has(row) || best.has(row))), operands);
};

/** Keeps rows that score at least `value`, protected ones, and the best up to `floor` if fewer remain. */
export const threshold: Kernel<"threshold"> = (params, operands) => {
  const value = Math.fround(params.value);
  const kept = candidates(params, operands).map((rows) => {
    const passing = rows.filter((row) => row.isProtected || row.score >= value);
    return passing.length >= params.floor ? passing : secured(rows, params.floor);
  });
  writeKept(kept, operands);
};

/** The end of each segment, from its first row that a threshold removes. */
export const leaving: Kernel<"leaving"> = (params, operands) => {
  const [value, layout, tail] = [Math.fround(params.value), operands.u32("layout"), operands.u32("tail")];
  for (const [h, rows] of candidates(params, operands).entries()) {
    const found = rows.findIndex((row) => !row.isProtected && !(row.score >= value));
    const first = found < 0 ? rows.length : found;
    tail.set([at(layout, 3 * h) + first, rows.length - first, at(layout, 3 * h + 2) - first], 3 * h);
  }
};

/** Old rows below `value` leave in whole groups, the oldest first. */
export const split: Kernel<"split"> = (params, operands) => {
  const value = Math.fround(params.value);
  const all = candidates(params, operands);
  const gone = all.map((rows) => {
    const wanted = rows.filter((row) => !row.isProtected && !(row.score >= value));
    return wanted.slice(0, wanted.length - wanted.length % params.group);
  });
  const [leave, leaving] = [operands.u32("leave"), operands.u32("leaving")];
  for (const [h, { start }] of headsOf(operands.u32("layout"), params.heads).entries()) {
    leave.set((gone[h] ?? []).map((row) => row.index), start);
    leaving[h] = gone[h]?.length ?? 0;
  }
  const isGone = new Set(gone.flat());
  writeKept(all.map((rows) => rows.filter((row) => !isGone.has(row))), operands);
};
