/**
 * Cases of the ops in `backends/score_ops.ts`.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { type Case, caseOf, input, outputIn } from "./case.ts";
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
  wordsOf,
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

const noQuery = 0xFFFFFFFF;
const noRow = 0xFFFFFFFF;

export const softmaxCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths, i) =>
    [0, 1, 32, 200].map((dropLast, j) => {
      const random = randomOf(`softmax ${lengths} ${dropLast}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const spread = [1, 30][(i + j) % 2] ?? 1;
      const title = `${layout.label} but for the last ${dropLast}, numbers up to ${spread}`;
      return caseOf(title, { op: "softmax", params: { heads: lengths.length, dropLast } }, {
        a: input(columnOf(layout, () => (random.uniform() * 2 - 1) * spread)),
        layout: input(layoutWords(layout)),
        out: outputIn("softmax", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

/** More rows than the Wasm kernel keeps scores of between its passes. */
const long: typeof rowForms = [{ lengths: [1601], dim: 4, codec: "f16" }];

export const groupVotesCases = (seed: number): ReadonlyArray<Case> =>
  [...rowForms, ...channelForms, ...long].flatMap(({ lengths, dim, codec }, i) =>
    [0, 1, 8].map((queries, j) => {
      const random = randomOf(`groupVotes ${lengths} ${dim} ${codec} ${queries}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const dropLast = [0, 1, 8, 40][(i + j) % 4] ?? 0;
      const params = { queries, heads: kvHeads * group, kvHeads, keyDim: dim, keyCodec: codec, scale: 1 / Math.sqrt(dim), dropLast };
      const title = `${queries} queries of ${group} heads each, ${dim} ${codec}, ${layout.label} but for the last ${dropLast}`;
      return caseOf(title, { op: "groupVotes", params }, {
        q: input(random.normals(queries * params.heads * dim, 3)),
        keys: input(rowsOf(random, layout, dim, codec)),
        layout: input(layoutWords(layout)),
        queryPosition: input(Uint32Array.from({ length: queries }, (_, n) => n % 5 === 4 ? noQuery : n)),
        out: outputIn("groupVotes", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

/** Rows near the axes of the space, or zero: cosines are above 0.8 or below 0.5, so that rounding decides no comparison with 0.65. */
function axisRows(random: Random, layout: Layout, dim: number, codec: RowCodec) {
  const rows = rowsOf(random, layout, dim, codec);
  for (const { start, length } of layout.segments) {
    for (let slot = start; slot < start + length; slot++) {
      const [axis, size] = [random.integer(dim), random.integer(9) === 0 ? 0 : 0.5 + random.uniform()];
      for (let c = 0; c < dim; c++) rows[slot * dim + c] = size * ((c === axis ? 1 : 0) + (random.uniform() - 0.5) * 0.4 / Math.sqrt(dim));
    }
  }
  return rows;
}

/** Norms of rows as an earlier op gives them. */
const normsOf = (layout: Layout, dim: number, rows: ArrayLike<number>) =>
  columnOf(layout, (slot) => Math.sqrt(Array.from({ length: dim }, (_, c) => (rows[slot * dim + c] ?? 0) ** 2).reduce((a, b) => a + b, 0)));

export const newestLikeCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.map(({ lengths, dim, codec }) => {
    const random = randomOf(`newestLike ${lengths} ${dim} ${codec}`, seed);
    const layout = layoutOf(random, lengths, 2);
    const rows = axisRows(random, layout, dim, codec);
    return caseOf(`${dim} ${codec}, ${layout.label}`, { op: "newestLike", params: { heads: lengths.length, dim, codec, above: 0.65 } }, {
      rows: input(rows),
      norms: input(normsOf(layout, dim, rows)),
      layout: input(layoutWords(layout)),
      out: outputIn("newestLike", layout.slots, rowRanges(layout, 4)),
    });
  });

export const redundancyCases = (seed: number): ReadonlyArray<Case> =>
  [...rowForms, ...channelForms].map(({ lengths, dim, codec }, i) => {
    const random = randomOf(`redundancy ${lengths} ${dim} ${codec}`, seed);
    const spares = (["newest", "own", "first"] as const)[(i + Math.floor(i / 3)) % 3] ?? "newest";
    const layout = layoutOf(random, lengths, 2);
    const rows = axisRows(random, layout, dim, codec);
    const lengthAt = (slot: number) => layout.segments.find(({ start, length }) => slot >= start && slot < start + length)?.length ?? 0;
    const params = { heads: lengths.length, dim, codec, spares };
    return caseOf(`${spares} spared, ${dim} ${codec}, ${layout.label}`, { op: "redundancy", params }, {
      rows: input(rows),
      norms: input(normsOf(layout, dim, rows)),
      anchor: input(random.normals(lengths.length * dim)),
      like: input(wordsOf(layout, (slot) => random.integer(4) === 0 ? noRow : random.integer(lengthAt(slot)))),
      layout: input(layoutWords(layout)),
      out: outputIn("redundancy", layout.slots, rowRanges(layout, 4)),
    });
  });

export const tailLossCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.flatMap(({ lengths, dim, codec }, i) =>
    (["candidates", "all"] as const).map((scope, j) => {
      const random = randomOf(`tailLoss ${lengths} ${dim} ${codec} ${scope}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const [heads, position] = [kvHeads * group, positionsOf(random, layout)];
      const [window, sinks] = [[0, 0, 200][i % 3] ?? 0, [0, 4, 40][(i + j) % 3] ?? 0];
      const params = { heads, kvHeads, keyDim: dim, keyCodec: codec, scale: 1 / Math.sqrt(dim), window, sinks, scope };
      const newest = i % 7 === 6 ? noQuery : newestOf(layout, position);
      const title = `${scope}, ${sinks} sinks, ${group} heads each, ${dim} ${codec}, ${layout.label}${
        window > 0 ? `, window ${window}` : ""
      }`;
      return caseOf(title, { op: "tailLoss", params }, {
        q: input(random.normals(heads * dim)),
        keys: input(rowsOf(random, layout, dim, codec)),
        position: input(position),
        layout: input(layoutWords(layout)),
        queryPosition: input(Uint32Array.of(newest)),
        lse: input(random.normals(heads).map((x, n) => n % 7 === 6 ? -1e30 : 4 + x)),
        out: outputIn("tailLoss", layout.slots, rowRanges(layout, 4)),
      });
    })
  );
