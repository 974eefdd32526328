/**
 * Cases of ops that make or read one number per row: `reduce`, `meanUnit`, `similarity`, `positions`, `pool`, `headMean`,
 * `rank`, `threshold`.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { type Case, caseOf, type Data, type Given, input, output, outputIn } from "./case.ts";
import {
  channelForms,
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
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

export const reduceCases = (seed: number): ReadonlyArray<Case> =>
  [...rowForms, ...channelForms].flatMap(({ lengths, dim, codec }) =>
    (["l1", "l2", "sum", "mean", "max"] as const).map((by) => {
      const random = randomOf(`reduce ${lengths} ${dim} ${codec} ${by}`, seed);
      const layout = layoutOf(random, lengths, 2);
      return caseOf(`${by} of ${dim} ${codec}, ${layout.label}`, { op: "reduce", params: { heads: lengths.length, dim, codec, by } }, {
        rows: input(rowsOf(random, layout, dim, codec)),
        layout: input(layoutWords(layout)),
        out: outputIn("reduce", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

export const projectedNormCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.map(({ lengths, dim, codec }, i) => {
    const group = [1, 3, 7][i % 3] ?? 1;
    const random = randomOf(`projectedNorm ${lengths} ${dim} ${codec}`, seed);
    const [layout, kvHeads] = [layoutOf(random, lengths, 2), lengths.length];
    const params = { heads: kvHeads * group, kvHeads, dim, codec };
    const ranges = rowRanges(layout, 4 * group);
    return caseOf(`group of ${group}, ${dim} ${codec}, ${layout.label}`, { op: "projectedNorm", params }, {
      rows: input(rowsOf(random, layout, dim, codec)),
      gram: input(gramsOf(random, kvHeads * group, dim)),
      layout: input(layoutWords(layout)),
      out: outputIn("projectedNorm", layout.slots * group, ranges),
    });
  });

/** Per head A^T A of a matrix A with half as many rows as columns: rows in its null space have a norm of (nearly) 0. */
const gramsOf = (random: Random, heads: number, dim: number): Float32Array<ArrayBuffer> => {
  const out = new Float32Array(heads * dim * dim);
  for (let h = 0; h < heads; h++) {
    const a = random.normals(dim / 2 * dim);
    for (let c = 0; c < dim; c++) {
      for (let d = 0; d < dim; d++) {
        for (let r = 0; r < dim / 2; r++) {
          out[(h * dim + c) * dim + d] = (out[(h * dim + c) * dim + d] ?? 0) + (a[r * dim + c] ?? 0) * (a[r * dim + d] ?? 0);
        }
      }
    }
  }
  return out;
};

/** Rows of which every fourth is zero: it has no direction. */
const rowsWithZeros = (random: Random, layout: Layout, dim: number, codec: RowCodec): Data => {
  const rows = rowsOf(random, layout, dim, codec);
  const width = rows.length / Math.max(1, layout.slots);
  for (const { start, length } of layout.segments) {
    for (let t = 3; t < length; t += 4) rows.fill(0, (start + t) * width, (start + t + 1) * width);
  }
  return input(rows);
};

export const meanUnitCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.map(({ lengths, dim, codec }) => {
    const random = randomOf(`meanUnit ${lengths} ${dim} ${codec}`, seed);
    const layout = layoutOf(random, lengths, 2);
    return caseOf(`${dim} ${codec}, ${layout.label}`, { op: "meanUnit", params: { heads: lengths.length, dim, codec } }, {
      rows: rowsWithZeros(random, layout, dim, codec),
      layout: input(layoutWords(layout)),
      out: output("meanUnit", lengths.length * dim),
    });
  });

export const similarityCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.map(({ lengths, dim, codec }) => {
    const random = randomOf(`similarity ${lengths} ${dim} ${codec}`, seed);
    const layout = layoutOf(random, lengths, 2);
    const anchor = random.normals(lengths.length * dim);
    // The anchor of a head without rows is zero, and so may be that of a head with rows.
    if (lengths.length > 2) anchor.fill(0, dim, 2 * dim);
    return caseOf(`${dim} ${codec}, ${layout.label}`, { op: "similarity", params: { heads: lengths.length, dim, codec } }, {
      rows: rowsWithZeros(random, layout, dim, codec),
      anchor: input(anchor),
      layout: input(layoutWords(layout)),
      out: outputIn("similarity", layout.slots, rowRanges(layout, 4)),
    });
  });

export const positionsCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    [3, 10_000].map((gap) => {
      const random = randomOf(`positions ${lengths} ${gap}`, seed);
      const layout = layoutOf(random, lengths, 2);
      return caseOf(`${layout.label}, gaps up to ${gap}`, { op: "positions", params: { heads: lengths.length } }, {
        position: input(positionsOf(random, layout, gap)),
        layout: input(layoutWords(layout)),
        out: outputIn("positions", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

export const poolCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    [1, 3, 5, 7, 33].flatMap((size, j) =>
      (["max", "mean"] as const).map((by) => {
        const dropLast = [0, 1, 3, 32][(i + j) % 4] ?? 0;
        const random = randomOf(`pool ${lengths} ${size} ${by}`, seed);
        const layout = layoutOf(random, lengths, 2);
        const params = { heads: lengths.length, by, size, dropLast };
        return caseOf(`${by} of ${size} but for the last ${dropLast}, ${layout.label}`, { op: "pool", params }, {
          a: input(columnOf(layout, () => random.uniform() - 0.3)),
          layout: input(layoutWords(layout)),
          out: outputIn("pool", layout.slots, rowRanges(layout, 4)),
        });
      })
    )
  );

export const headMeanCases = (seed: number): ReadonlyArray<Case> =>
  [...lengthsToTry, [33, 33, 33]].map((lengths) => {
    const random = randomOf(`headMean ${lengths}`, seed);
    const layout = layoutOf(random, lengths, 2);
    return caseOf(layout.label, { op: "headMean", params: { heads: lengths.length } }, {
      a: input(columnOf(layout, () => random.uniform() + 0.1)),
      layout: input(layoutWords(layout)),
      out: outputIn("headMean", layout.slots, rowRanges(layout, 4)),
    });
  });

/** Scores on which an ordering can go wrong. */
const scores: Readonly<Record<string, (random: Random) => number>> = {
  "distinct scores": (random) => random.uniform() - 0.5,
  "many ties": (random) => random.integer(3) - 1,
  "NaN, infinities and both zeros": (random) => [NaN, -0, 0, Infinity, -Infinity, 1e-45, -1e-45, NaN][random.integer(8)] ?? 0,
  "all NaN": () => NaN,
};

/** Operands that `rank` and `threshold` share. */
function selection(random: Random, layout: Layout, score: (random: Random) => number): Readonly<Record<string, Given>> {
  const position = positionsOf(random, layout, 2);
  return {
    score: input(columnOf(layout, () => score(random))),
    position: input(position),
    layout: input(layoutWords(layout)),
    newest: input(Uint32Array.of(newestOf(layout, position) + random.integer(2))),
    keep: { ...outputIn("rank", layout.slots, []), expect: { _tag: "Kept", ranges: rowRanges(layout, 4), counts: "counts" } },
    counts: output("rank", layout.segments.length),
  };
}

/** How much is protected: nothing, some, and more than any budget, up to the largest u32. */
const protections = [
  { sinks: 0, recent: 0 },
  { sinks: 4, recent: 8 },
  { sinks: 40, recent: 100 },
  { sinks: 0, recent: 0xFFFFFFFF },
];

/** Of the longest head one row leaves, as while decoding. */
const allButOne = (lengths: ReadonlyArray<number>): number => Math.max(1, ...lengths) - 1;

export const rankCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    Object.entries(scores).flatMap(([label, score], j) =>
      [...new Set([0, 1, 31, 200, allButOne(lengths)])].flatMap((count, k) =>
        (["perHead", "pooled"] as const).map((mode) => {
          const protection = protections[(i + j + k) % 4] ?? { sinks: 0, recent: 0 };
          const floor = [0, 2, 50][(j + k) % 3] ?? 0;
          const random = randomOf(`rank ${lengths} ${label} ${count} ${mode}`, seed);
          const layout = layoutOf(random, lengths, 2);
          const params = { heads: lengths.length, mode, count, floor, ...protection };
          const title = `${mode} ${count} floor ${floor} sinks ${protection.sinks} recent ${protection.recent}, ${label}, ${layout.label}`;
          return caseOf(title, { op: "rank", params }, selection(random, layout, score));
        })
      )
    )
  );

export const thresholdCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    Object.entries(scores).flatMap(([label, score], j) =>
      [-0.25, 0, 0.4, 2].map((value, k) => {
        const protection = protections[(i + j + k) % 4] ?? { sinks: 0, recent: 0 };
        const floor = [0, 2, 50][(j + k) % 3] ?? 0;
        const random = randomOf(`threshold ${lengths} ${label} ${value}`, seed);
        const layout = layoutOf(random, lengths, 2);
        const params = { heads: lengths.length, value, floor, ...protection };
        const title = `${value} floor ${floor} sinks ${protection.sinks} recent ${protection.recent}, ${label}, ${layout.label}`;
        return caseOf(title, { op: "threshold", params }, selection(random, layout, score));
      })
    )
  );
