/**
 * Cases of the ops in `backends/rule_ops.ts`.
 * @module
 */
import { type Case, caseOf, input, outputIn, updated } from "./case.ts";
import {
  columnOf,
  type Layout,
  layoutOf,
  layoutWords,
  lengthsToTry,
  newestOf,
  positionsOf,
  rowForms,
  rowRanges,
  rowsOf,
  wordsOf,
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

/** What profile and obey both look at: masses with many ties, some special rows and some punctuation. */
function nested(random: Random, layout: Layout) {
  const position = positionsOf(random, layout, 2);
  return {
    mass: input(columnOf(layout, () => random.integer(40) / 8)),
    class: input(columnOf(layout, () => [0, 0, 0, 1, 2, 2][random.integer(6)] ?? 0)),
    position: input(position),
    layout: input(layoutWords(layout)),
    newest: input(Uint32Array.of(newestOf(layout, position) + random.integer(2))),
  };
}

/** Shares and windows: usual, none, more than there is. */
const sizes = [
  { numerator: 3, denominator: 10, window: 10, sinks: 0 },
  { numerator: 0, denominator: 1, window: 1, sinks: 4 },
  { numerator: 1, denominator: 100, window: 0xFFFFFFFF, sinks: 40 },
];

export const profileCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    [0.01, 0.3, 0.9, 1e9].map((recovery, j) => {
      const random = randomOf(`profile ${lengths} ${recovery}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const size = sizes[(i + j) % 3] ?? { numerator: 1, denominator: 2, window: 1, sinks: 0 };
      const title = `recovery ${recovery}, ${JSON.stringify(size)}, ${layout.label}`;
      return caseOf(title, { op: "profile", params: { heads: lengths.length, ...size, recovery } }, {
        ...nested(random, layout),
        near: input(columnOf(layout, () => random.integer(16) / 8)),
        out: outputIn("profile", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

export const obeyCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    [0, 1, 2, 3, 4, 5].map((rule, j) => {
      const random = randomOf(`obey ${lengths} ${rule}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const size = sizes[(i + j) % 3] ?? { numerator: 1, denominator: 2, window: 1, sinks: 0 };
      const title = `rule ${rule}, ${JSON.stringify(size)}, ${layout.label}`;
      return caseOf(title, { op: "obey", params: { heads: lengths.length, ...size } }, {
        ...nested(random, layout),
        rule: input(columnOf(layout, (slot) => slot % 3 === 0 ? rule : 0)),
        out: outputIn("obey", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

/** Rows that are stored as numbers. */
const forms = rowForms.flatMap(({ codec, ...form }) => codec === "f32" || codec === "f16" ? [{ ...form, codec }] : []);

/** Blocks of one row, a few, and more than most heads have. */
const blocks = [{ sinks: 0, lag: 1 }, { sinks: 4, lag: 5 }, { sinks: 1, lag: 16 }, { sinks: 4, lag: 200 }];

export const lagSpreadCases = (seed: number): ReadonlyArray<Case> =>
  forms.map(({ lengths, dim, codec }, i) => {
    const random = randomOf(`lagSpread ${lengths} ${dim} ${codec}`, seed);
    const [layout, block] = [layoutOf(random, lengths, 2), blocks[i % 4] ?? { sinks: 0, lag: 1 }];
    const rows = rowsOf(random, layout, dim, codec);
    // Channel 1 has no range.
    for (const { start, length } of layout.segments) for (let slot = start; slot < start + length; slot++) rows[slot * dim + 1] = 3;
    const title = `${dim} ${codec}, ${block.sinks} sinks, blocks of ${block.lag}, ${layout.label}`;
    return caseOf(title, { op: "lagSpread", params: { heads: lengths.length, dim, codec, ...block } }, {
      rows: input(rows),
      layout: input(layoutWords(layout)),
      out: outputIn("lagSpread", layout.slots, rowRanges(layout, 4)),
    });
  });

export const blockRankCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    blocks.map((block) => {
      const random = randomOf(`blockRank ${lengths} ${block.lag}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const title = `${block.sinks} sinks, blocks of ${block.lag}, ${layout.label}`;
      return caseOf(title, { op: "blockRank", params: { heads: lengths.length, ...block } }, {
        a: input(columnOf(layout, () => random.integer(9) - 4)),
        layout: input(layoutWords(layout)),
        out: outputIn("blockRank", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

export const promoteCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    [0, 1, 31, 2000].map((count) => {
      const random = randomOf(`promote ${lengths} ${count}`, seed);
      const layout = layoutOf(random, lengths, 2);
      return caseOf(`the best ${count}, ${layout.label}`, { op: "promote", params: { heads: lengths.length, count } }, {
        score: input(columnOf(layout, () => [NaN, -0, 0, Infinity, -Infinity, 0.5, 1][random.integer(7)] ?? 0)),
        then: input(columnOf(layout, () => random.uniform() - 0.5)),
        position: input(positionsOf(random, layout)),
        layout: input(layoutWords(layout)),
        out: outputIn("promote", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

/** Keys along axes of the space, of lengths that are powers of two: cosines are -1, 0 or 1 exactly, so that rounding decides no nearest one. */
function axisKeys(random: Random, layout: Layout, dim: number, codec: "f32" | "f16") {
  const rows = rowsOf(random, layout, dim, codec);
  for (const { start, length } of layout.segments) {
    for (let slot = start; slot < start + length; slot++) {
      const [axis, size] = [random.integer(dim), [-1, 0.5, 1, 2, 4][random.integer(5)] ?? 1];
      for (let c = 0; c < dim; c++) rows[slot * dim + c] = c === axis ? size : 0;
    }
  }
  return rows;
}

export const foldValuesCases = (seed: number): ReadonlyArray<Case> =>
  forms.filter(({ lengths, dim }) => Math.max(...lengths) * dim <= 32800).flatMap(({ lengths, dim, codec }) =>
    [2, 5].map((every) => {
      const random = randomOf(`foldValues ${lengths} ${dim} ${codec} ${every}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const kept = layout.segments.map(({ length }) => Array.from({ length }, (_, t) => t).filter(() => random.integer(every) === 0));
      const at = (slot: number): number => {
        const h = layout.segments.findIndex(({ start, length }) => slot >= start && slot < start + length);
        return kept[h]?.[slot - (layout.segments[h]?.start ?? 0)] ?? 0;
      };
      const valueCodec = every === 2 ? codec : "f32";
      const params = { heads: lengths.length, keyDim: dim, valueDim: 80, keyCodec: codec, valueCodec } as const;
      const values = rowsOf(random, layout, 80, valueCodec);
      const touched = layout.segments.filter((_, h) => (kept[h]?.length ?? 0) > 0);
      const ranges = (bytes: number) => rowRanges({ ...layout, segments: touched }, bytes);
      return caseOf(`one in ${every} stays, ${dim} ${codec}, values ${valueCodec}, ${layout.label}`, { op: "foldValues", params }, {
        keys: input(axisKeys(random, layout, dim, codec)),
        counts: input(Uint32Array.from(kept, (rows) => rows.length)),
        layout: input(layoutWords(layout)),
        keep: { ...input(wordsOf(layout, at)), expect: { _tag: "Bits", ranges: ranges(4) } },
        values: updated("foldValues", values, ranges(valueCodec === "f32" ? 320 : 160)),
        weight: outputIn("foldValues", layout.slots, ranges(4)),
      });
    })
  );
