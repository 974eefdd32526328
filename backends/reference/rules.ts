/**
 * Ops that keep rows by rules or in stages: `profile`, `obey`, `lagSpread`, `blockRank`, `promote`.
 * @module
 */
import { at, type Head, headsOf, type Kernel, type Operands, widened } from "./kernel.ts";
import { byScore } from "./rank.ts";

/** Sizes that the nested rules share. */
interface Nested {
  readonly numerator: number;
  readonly denominator: number;
  readonly window: number;
  readonly sinks: number;
}

const range = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i);

/** Indices of the `count` best scores, lower indices first on ties. */
const best = (scores: ReadonlyArray<number>, count: number): ReadonlySet<number> =>
  new Set(range(scores.length).toSorted((a, b) => byScore({ score: at(scores, a) }, { score: at(scores, b) }) || a - b).slice(0, count));

/** What a rule keeps of a head, and which of these rows only the window keeps. */
function keptBy(rule: number, { start, length }: Head, { numerator, denominator, window, sinks }: Nested, operands: Operands) {
  const [mass, kind, position] = [operands.f32("mass"), operands.f32("class"), operands.u32("position")];
  const seen = at(operands.u32("newest"), 0) + 1;
  const rows = range(length);
  const p = (t: number): number => at(position, start + t);
  const always = rows.map((t) => p(t) < sinks || at(kind, start + t) === 1 || (rule >= 2 && at(kind, start + t) === 2));
  const local = rows.map((t) => rule === 4 && p(t) + window >= seen);
  const count = rule === 3 || rule === 4 ? Number((BigInt(seen) * BigInt(numerator) + BigInt(denominator) - 1n) / BigInt(denominator)) : 0;
  const open = rows.filter((t) => always[t] !== true && local[t] !== true);
  const chosen = best(open.map((t) => Math.fround(at(mass, start + t) / (seen - p(t)))), count);
  const heavy = new Set(open.filter((_, i) => chosen.has(i)));
  return {
    seen,
    stays: rows.map((t) => rule === 5 || always[t] === true || local[t] === true || heavy.has(t)),
    windowOnly: rows.map((t) => local[t] === true && always[t] !== true),
  };
}

/** The first rule that recovers enough. */
export const profile: Kernel<"profile"> = (params, operands) => {
  const [mass, near, out] = [operands.f32("mass"), operands.f32("near"), operands.f32("out")];
  const enough = Math.fround(params.recovery);
  for (const head of headsOf(operands.u32("layout"), params.heads)) {
    const rule = [1, 2, 3, 4].find((r) => {
      const { seen, stays, windowOnly } = keptBy(r, head, params, operands);
      const recovered = range(head.length).reduce(
        (sum, t) => sum + (stays[t] !== true ? 0 : at(windowOnly[t] === true ? near : mass, head.start + t)),
        0,
      );
      return stays.includes(true) && recovered / seen >= enough;
    });
    out.fill(rule ?? 5, head.start, head.start + head.length);
  }
};

/** 1 for the rows that the head's rule keeps. */
export const obey: Kernel<"obey"> = (params, operands) => {
  const [rules, out] = [operands.f32("rule"), operands.f32("out")];
  for (const head of headsOf(operands.u32("layout"), params.heads)) {
    const rule = rules.subarray(head.start, head.start + head.length).reduce((a, b) => Math.max(a, b), 0);
    const { stays } = keptBy(rule === 0 ? 5 : rule, head, params, operands);
    out.set(stays.map(Number), head.start);
  }
};

/** Blocks of a head that a whole block follows, by the index of their first row. */
const blocksOf = ({ length }: Head, sinks: number, lag: number): ReadonlyArray<number> =>
  range(Math.max(0, Math.floor((length - sinks) / lag) - 1)).map((b) => sinks + b * lag);

/** Spread over channels, on the scale of the block after. */
export const lagSpread: Kernel<"lagSpread"> = ({ heads, dim, codec, sinks, lag }, operands) => {
  const [rows, out] = [widened(operands.rows("rows", codec, dim)), operands.f32("out")];
  for (const head of headsOf(operands.u32("layout"), heads)) {
    const x = (t: number, c: number): number => at(rows, (head.start + t) * dim + c);
    const blocks = blocksOf(head, sinks, lag);
    for (let t = 0; t < head.length; t++) out[head.start + t] = blocks.length === 0 ? t / head.length : 1;
    for (const from of blocks) {
      const next = range(lag).map((i) => from + lag + i);
      const low = range(dim).map((c) => next.reduce((least, t) => Math.min(least, x(t, c)), Infinity));
      const high = range(dim).map((c) => next.reduce((most, t) => Math.max(most, x(t, c)), -Infinity));
      const scaled = (t: number, c: number): number => at(high, c) > at(low, c) ? (x(t, c) - at(low, c)) / (at(high, c) - at(low, c)) : 0;
      const exps = range(lag).map((i) => Math.exp(deviation(range(dim).map((c) => scaled(from + i, c)))));
      const total = exps.reduce((a, b) => a + b, 0);
      out.set(exps.map((e) => e / total), head.start + from);
    }
  }
};

/** Sample standard deviation; 0 of one number. */
function deviation(xs: ReadonlyArray<number>): number {
  const mean = xs.reduce((a, b) => a + b, 0) / xs.length;
  return Math.sqrt(xs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, xs.length - 1));
}

/** Ranks inside the blocks that lagSpread weighs. */
export const blockRank: Kernel<"blockRank"> = ({ heads, sinks, lag }, operands) => {
  const [a, out] = [operands.f32("a"), operands.f32("out")];
  for (const head of headsOf(operands.u32("layout"), heads)) {
    out.set(a.slice(head.start, head.start + head.length), head.start);
    for (const from of blocksOf(head, sinks, lag)) {
      const block = a.subarray(head.start + from, head.start + from + lag);
      for (let i = 0; i < lag; i++) {
        out[head.start + from + i] = block.reduce((n, y, j) => n + (y < at(block, i) || (y === at(block, i) && j < i) ? 1 : 0), 0) / lag;
      }
    }
  }
};

/** The best rows by one score above all others by another. */
export const promote: Kernel<"promote"> = ({ heads, count }, operands) => {
  const [score, then, out] = [operands.f32("score"), operands.f32("then"), operands.f32("out")];
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    const first = best([...score.subarray(start, start + length)], count);
    for (let t = 0; t < length; t++) out[start + t] = first.has(t) ? Infinity : at(then, start + t);
  }
};
