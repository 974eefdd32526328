/**
 * Cases of ops that pass rows from tier to tier: `split`, `transfer`, `lengthen`; and of attention over rows stored in blocks.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { blockRows, codecOf, rowBytes } from "../cache/codec.ts";
import { plainAttend, withinCodes } from "./attend_cases.ts";
import { type Case, caseOf, input, output, outputIn, sentinels, updated } from "./case.ts";
import {
  blocked,
  codedRows,
  columnOf,
  type Layout,
  layoutOf,
  layoutWords,
  newestOf,
  nextRanges,
  positionsOf,
  rowRanges,
  rowsOf,
  wordsOf,
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

const lengthsToSplit: ReadonlyArray<ReadonlyArray<number>> = [[0], [1], [33], [127], [0, 160, 31], [1025, 3]];

export const splitCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToSplit.flatMap((lengths) =>
    ([[0, 0, 1], [4, 0, 1], [0, 40, 32], [2, 16, 32]] as const).map(([sinks, recent, group]) => {
      const random = randomOf(`split ${lengths} ${sinks} ${recent} ${group}`, seed);
      const layout = layoutOf(random, lengths);
      const position = positionsOf(random, layout);
      const score = columnOf(layout, () => [random.uniform() - 0.5, NaN, -0, 0][Math.min(3, random.integer(12))] ?? random.uniform() - 0.5);
      const params = { heads: lengths.length, value: 0, sinks, recent, group };
      const indices = rowRanges(layout, 4);
      return caseOf(`${sinks} sinks, ${recent} recent, groups of ${group}, ${layout.label}`, { op: "split", params }, {
        score: input(score),
        position: input(position),
        layout: input(layoutWords(layout)),
        newest: input(Uint32Array.of(newestOf(layout, position))),
        keep: { bytes: sentinels(layout.slots * 4), expect: { _tag: "Kept", ranges: indices, counts: "counts" } },
        counts: output("split", lengths.length),
        leave: { bytes: sentinels(layout.slots * 4), expect: { _tag: "Kept", ranges: indices, counts: "leaving" } },
        leaving: output("split", lengths.length),
      });
    })
  );

/** Between floats, to some channels and from them, into codes of every width and grouping, from codes to coarser and to finer ones, and between equal ones. */
const pairs: ReadonlyArray<readonly [RowCodec, RowCodec]> = [
  ["f32", "f32"],
  ["f32", "f16"],
  ["f16", "f32"],
  ["f16", "q8"],
  ["f32", "q4g32"],
  ["f16", "q2g64"],
  ["q8", "q8"],
  ["q8", "q4"],
  ["q8", "q2"],
  ["q4g64", "q2g64"],
  ["q8g32", "q2g64"],
  ["q2", "f16"],
  ["f32", "q8c32"],
  ["f16", "q4c32"],
  ["f16", "q2c32"],
  ["q8", "q4c32"],
  ["f16", "f16k60"],
  ["f32", "f16k10"],
  ["f16k50", "f16k50"],
  ["f16k50", "q8"],
  ["q4", "f16k30"],
];

export const transferCases = (seed: number): ReadonlyArray<Case> =>
  pairs.flatMap(([from, to]) => [[33], [160, 0, 96]].map((lengths, i) => transferCase(seed, from, to, lengths, [64, 128][i] ?? 64)));

function transferCase(seed: number, from: RowCodec, to: RowCodec, lengths: ReadonlyArray<number>, dim: number): Case {
  const random = randomOf(`transfer ${from} ${to} ${lengths} ${dim}`, seed);
  const block = blockRows(codecOf(to));
  const source = layoutOf(random, lengths);
  const kept = lengths.map((length) => Array.from({ length }, (_, t) => t).filter(() => random.uniform() < 0.7));
  const moved = kept.map((rows) => rows.slice(0, rows.length - rows.length % block));
  const plain = layoutOf(random, lengths.map((_, h) => block * (h % 3)), Math.max(...lengths) + block);
  const target = block === 1 ? plain : blocked(plain, block);
  const keep = wordsOf({ ...source, segments: [] }, () => 0);
  for (const [h, { start }] of source.segments.entries()) keep.set(moved[h] ?? [], start);
  const ends = target.segments.flatMap((s, h) =>
    nextRanges({ ...target, segments: [s] }, moved[h]?.length ?? 0, rowBytes(codecOf(to), dim))
  );
  return caseOf(`${from} to ${to} of ${dim}, ${source.label}`, {
    op: "transfer",
    params: { heads: lengths.length, dim, sourceCodec: from, targetCodec: to },
  }, {
    source: input(rowsOf(random, source, dim, from)),
    keep: input(keep),
    counts: input(Uint32Array.from(moved, (rows) => rows.length)),
    sourceLayout: input(layoutWords(source)),
    targetLayout: input(layoutWords(target)),
    target: updated("transfer", sentinels(target.slots * rowBytes(codecOf(to), dim)), ends),
  });
}

export const lengthenCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToSplit.map((lengths) => {
    const random = randomOf(`lengthen ${lengths}`, seed);
    const layout = layoutOf(random, lengths, 5);
    return caseOf(layout.label, { op: "lengthen", params: { heads: lengths.length } }, {
      counts: input(Uint32Array.from(lengths, () => random.integer(6))),
      layout: updated("lengthen", layoutWords(layout), layout.segments.map((_, h) => ({ from: h * 12 + 4, to: h * 12 + 8 }))),
    });
  });

/** Codecs of keys and values, query heads per KV head, channels and window of {@link blockCases}: vectors of codes with one group, several and
 * half of one, widths that do not fill vectors, blocks that a window cuts. */
const blockForms: ReadonlyArray<readonly [keys: RowCodec, values: RowCodec, group: number, dim: number, window: number]> = [
  ["q8c32", "q8g32", 3, 64, 0],
  ["q4c32", "q4g32", 3, 64, 0],
  ["q2c32", "q2g32", 3, 64, 0],
  ["q4c32", "f16", 3, 64, 0],
  ["f16", "q4", 3, 64, 0],
  ["q8", "q4", 1, 64, 700],
  ["q4g32", "q2g64", 4, 128, 0],
  ["q8c32", "q4c32", 2, 128, 701],
  ["q4c32", "q2g32", 8, 128, 45],
  ["q2g32", "q8g64", 5, 64, 0],
  ["q4", "q4", 3, 80, 0],
  ["q8", "q2c32", 7, 64, 333],
  ["f16k60", "f16", 3, 64, 0],
  ["f16k50", "q4g32", 4, 128, 700],
  ["f16k30", "q2c32", 1, 64, 0],
];

/** Attention over keys and values per channel and per token, one query and many. */
export const blockCases = (seed: number): ReadonlyArray<Case> => blockForms.flatMap((form) => [1, 33].map((m) => blockCase(seed, form, m)));

function blockCase(seed: number, [keyCodec, valueCodec, group, dim, window]: typeof blockForms[number], m: number): Case {
  const random = randomOf(`attend blocks ${keyCodec} ${valueCodec} ${m}`, seed);
  const lengths = [32, 0, 1056];
  const layout = blocked(layoutOf(random, lengths), 32);
  const position = positionsOf(random, layout);
  const [kvHeads, heads] = [lengths.length, lengths.length * group];
  const params = { ...plainAttend(m, kvHeads, group, dim, keyCodec, valueCodec), window };
  const sizes = `${m} queries of ${group} heads each, window ${window}, ${dim} ${keyCodec} and ${valueCodec}`;
  const within = withinCodes(m, [keyCodec, valueCodec]);
  return caseOf(`${sizes} in blocks, ${layout.label}`, { op: "attend", params }, {
    q: input(random.normals(m * heads * dim)),
    keys: input(stored(random, layout, dim, keyCodec)),
    values: input(stored(random, layout, dim, valueCodec)),
    position: input(position),
    layout: input(layoutWords(layout)),
    queryPosition: input(Uint32Array.from({ length: m }, (_, i) => Math.max(0, newestOf(layout, position) - m + 1 + i))),
    out: within.out(output("attend", m * heads * dim)),
    lse: within.lse(output("attend", m * heads)),
  });
}

/** What one query and what several pay to the same rows. */
export const blockReduceCases = (seed: number): ReadonlyArray<Case> =>
  blockForms.flatMap((form, i) => [1, 3].map((m) => blockReduceCase(seed, form, m, i)));

function blockReduceCase(seed: number, [keyCodec, , group, dim, window]: typeof blockForms[number], m: number, i: number): Case {
  const random = randomOf(`attendReduce blocks ${keyCodec} ${m} ${i}`, seed);
  const lengths = [32, 0, 1056];
  const layout = blocked(layoutOf(random, lengths), 32);
  const position = positionsOf(random, layout);
  const [kvHeads, heads] = [lengths.length, lengths.length * group];
  const [overGroup, accumulate] = [(["sum", "mean", "max"] as const)[i % 3] ?? "sum", i % 2 === 0];
  const rest = { scale: 0.125, window, softcap: 0, overQueries: "sum", overGroup, accumulate } as const;
  const out = accumulate
    ? updated("attendReduce", random.normals(layout.slots), rowRanges(layout, 4))
    : outputIn("attendReduce", layout.slots, rowRanges(layout, 4));
  const label = `${m} queries of ${group} heads each, window ${window}, ${dim} ${keyCodec} in blocks, ${overGroup} over the group`;
  return caseOf(label, { op: "attendReduce", params: { queries: m, heads, kvHeads, keyDim: dim, keyCodec, ...rest } }, {
    q: input(random.normals(m * heads * dim)),
    keys: input(stored(random, layout, dim, keyCodec)),
    position: input(position),
    layout: input(layoutWords(layout)),
    queryPosition: input(Uint32Array.from({ length: m }, (_, j) => Math.max(0, newestOf(layout, position) - m + 1 + j))),
    lse: input(random.normals(m * heads).map((x) => 4 + x)),
    out: withinCodes(m, [keyCodec]).out(out),
  });
}

const stored = (random: Random, layout: Layout, dim: number, codec: RowCodec): ReturnType<typeof rowsOf> =>
  blockRows(codecOf(codec)) === 1 ? rowsOf(random, layout, dim, codec) : codedRows(layout, dim, codec, random.normals(layout.slots * dim));
