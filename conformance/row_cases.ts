/**
 * Cases of ops that move rows: `append`, `extend`, `compact`, `truncate`, `copyRows`, `slide`, `slice`.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { codecOf, rowBytes } from "../cache/codec.ts";
import { type Case, caseOf, type Data, input, output, outputIn, updated } from "./case.ts";
import {
  channelForms,
  columnOf,
  type Layout,
  layoutOf,
  layoutWords,
  lengthsToTry,
  nextRanges,
  positionsOf,
  rowForms,
  rowRanges,
  rowsOf,
  wordsOf,
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

const bytesOf = (codec: RowCodec, dim: number): number => rowBytes(codecOf(codec), dim);

/** The words of a layout, of which each head's length may change. */
const lengthsOf = (layout: Layout): Data =>
  updated("append", layoutWords(layout), layout.segments.map((_, h) => ({ from: h * 12 + 4, to: h * 12 + 8 })));

export const appendCases = (seed: number): ReadonlyArray<Case> =>
  [...rowForms, ...channelForms].flatMap(({ lengths, dim, codec }, i) =>
    [0, 1, 3, 33].map((m) => {
      const valueDim = codec.startsWith("q") ? dim : [dim, 32, 64][(i + m) % 3] ?? dim;
      const valueCodec: RowCodec = (i + m) % 4 < 2 ? codec : "f16";
      return appendCase(seed, { lengths, m, dim, valueDim, codec, valueCodec }, (random, count) => random.normals(count, 2));
    })
  ).concat(appendCase(seed, { lengths: [3, 0], m: 33, dim: 32, valueDim: 32, codec: "f16", valueCodec: "f16" }, hardToRound));

interface AppendForm {
  readonly lengths: ReadonlyArray<number>;
  readonly m: number;
  readonly dim: number;
  readonly valueDim: number;
  readonly codec: RowCodec;
  readonly valueCodec: RowCodec;
}

type Numbers = (random: Random, count: number) => Float32Array<ArrayBuffer>;

/** Numbers at every corner of f32 → f16: ties to even, subnormals, the largest half, beyond it, both zeros, infinities. */
const hardToRound: Numbers = (random, count) => {
  const corners = [
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    65504,
    65519.996,
    65520,
    1e9,
    -1e9,
    2 ** -24,
    2 ** -25,
    1.5 * 2 ** -24,
    2.5 * 2 ** -24,
    2 ** -14,
    0,
    -0,
    1e-30,
  ];
  const ends = [Infinity, -Infinity, 2 ** -14 - 2 ** -25, -(2 ** -25 + 2 ** -40)];
  const all = [...corners, ...ends];
  return Float32Array.from({ length: count }, (_, i) => all[i] ?? (random.uniform() - 0.5) * 2 ** (random.integer(44) - 26));
};

function appendCase(seed: number, { lengths, m, dim, valueDim, codec, valueCodec }: AppendForm, numbers: Numbers): Case {
  const heads = lengths.length;
  const random = randomOf(`append ${lengths} ${m} ${dim} ${codec}`, seed);
  const layout = layoutOf(random, lengths, m);
  const label = `${m} rows of ${dim} ${codec} and ${valueDim} ${valueCodec}, ${layout.label}`;
  const params = { m, heads, keyDim: dim, valueDim, keyCodec: codec, valueCodec };
  const position = positionsOf(random, layout);
  return caseOf(label, { op: "append", params }, {
    k: input(numbers(random, m * heads * dim)),
    v: input(numbers(random, m * heads * valueDim)),
    positions: input(Uint32Array.from({ length: m }, (_, i) => 5000 + 2 * i)),
    keys: updated("append", rowsOf(random, layout, dim, codec), nextRanges(layout, m, bytesOf(codec, dim))),
    values: updated("append", rowsOf(random, layout, valueDim, valueCodec), nextRanges(layout, m, bytesOf(valueCodec, valueDim))),
    position: updated("append", position, nextRanges(layout, m, 4)),
    layout: lengthsOf(layout),
  });
}

export const extendCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    [0, 1, 3, 31].filter((m) => m <= Math.min(...lengths)).map((m) => {
      const random = randomOf(`extend ${lengths} ${m}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const last = { ...layout, segments: layout.segments.map((s) => ({ ...s, start: s.start + s.length - m, length: m })) };
      return caseOf(`last ${m}, ${layout.label}`, { op: "extend", params: { m, heads: lengths.length, value: 0.1 } }, {
        column: updated("extend", columnOf(layout, () => random.uniform()), rowRanges(last, 4)),
        layout: input(layoutWords(layout)),
      });
    })
  );

/** For each head the indices that stay, ascending: about `share` of them. */
const keptOf = (random: Random, { segments }: Layout, share: number): ReadonlyArray<ReadonlyArray<number>> =>
  segments.map(({ length }) => Array.from({ length }, (_, t) => t).filter(() => random.uniform() < share));

const keepWords = (layout: Layout, kept: ReadonlyArray<ReadonlyArray<number>>): Uint32Array<ArrayBuffer> => {
  const keep = wordsOf({ ...layout, segments: [] }, () => 0);
  for (const [h, { start }] of layout.segments.entries()) keep.set(kept[h] ?? [], start);
  return keep;
};

export const compactCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.flatMap(({ lengths, dim, codec }) =>
    (Math.max(...lengths) === 0 ? [1] : [0, 0.4, 0.97, 1]).flatMap((share) => compactPair(seed, lengths, dim, codec, share))
  );

function compactPair(seed: number, lengths: ReadonlyArray<number>, dim: number, codec: RowCodec, share: number): ReadonlyArray<Case> {
  const rowBytes = bytesOf(codec, dim);
  const random = randomOf(`compact ${lengths} ${rowBytes} ${share}`, seed);
  const layout = layoutOf(random, lengths);
  const kept = keptOf(random, layout, share);
  const counts = kept.map((rows) => rows.length);
  const target = layoutOf(random, counts, 1);
  const sourceLayout = input(layoutWords(layout));
  const shared = { keep: input(keepWords(layout, kept)), counts: input(Uint32Array.from(counts)), sourceLayout };
  const front = { ...layout, segments: layout.segments.map((s, h) => ({ ...s, length: counts[h] ?? 0 })) };
  const rows = updated("compact", rowsOf(random, layout, dim, codec), rowRanges(front, rowBytes));
  const call = { op: "compact", params: { heads: lengths.length, rowBytes } } as const;
  const label = `rows of ${dim} ${codec}, ${layout.label}, share ${share} kept: ${counts.join(" ")}`;
  return [
    caseOf(`${label}, in place`, call, { ...shared, source: rows, target: rows, targetLayout: sourceLayout }),
    caseOf(`${label}, elsewhere`, call, {
      ...shared,
      source: input(rowsOf(random, layout, dim, codec)),
      targetLayout: input(layoutWords(target)),
      target: outputIn("compact", target.slots * rowBytes / 4, rowRanges(target, rowBytes)),
    }),
  ];
}

export const truncateCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.map((lengths) => {
    const random = randomOf(`truncate ${lengths}`, seed);
    const layout = layoutOf(random, lengths);
    return caseOf(layout.label, { op: "truncate", params: { heads: lengths.length } }, {
      counts: input(Uint32Array.from(lengths, (length) => random.integer(length + 1))),
      layout: lengthsOf(layout),
    });
  });

export const copyRowsCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.map(({ lengths, dim, codec }) => {
    const rowBytes = bytesOf(codec, dim);
    const random = randomOf(`copyRows ${lengths} ${rowBytes}`, seed);
    const [source, target] = [layoutOf(random, lengths, 1), layoutOf(random, lengths, 4)];
    return caseOf(`rows of ${dim} ${codec}, ${source.label}`, { op: "copyRows", params: { heads: lengths.length, rowBytes } }, {
      source: input(rowsOf(random, source, dim, codec)),
      sourceLayout: input(layoutWords(source)),
      targetLayout: input(layoutWords({ ...target, segments: target.segments.map((s) => ({ ...s, length: 0 })) })),
      target: outputIn("copyRows", target.slots * rowBytes / 4, rowRanges(target, rowBytes)),
    });
  });

export const slideCases = (seed: number): ReadonlyArray<Case> =>
  [0, 1, 3, 31, 33, 127].flatMap((m) =>
    ([[1, 4], [3, 1], [32, 64], [33, 9], [200, 3]] as const).map(([window, width]) => {
      const random = randomOf(`slide ${m} ${window} ${width}`, seed);
      const words = Uint32Array.from({ length: m * width }, () => random.integer(2 ** 32));
      return caseOf(`${m} rows of ${width} into ${window}`, { op: "slide", params: { m, window, width } }, {
        x: input(words),
        ring: updated("slide", Uint32Array.from({ length: window * width }, () => random.integer(2 ** 32))),
      });
    })
  );

export const sliceCases = (seed: number): ReadonlyArray<Case> =>
  ([[0, 0, 4], [0, 1, 1], [3, 31, 64], [1, 33, 3], [7, 127, 80], [1024, 1, 128], [5, 0, 32]] as const).map(([from, rows, width]) => {
    const random = randomOf(`slice ${from} ${rows} ${width}`, seed);
    return caseOf(`rows ${from} to ${from + rows} of ${width}`, { op: "slice", params: { from, rows, width } }, {
      x: input(random.normals((from + rows + 2) * width)),
      out: output("slice", rows * width),
    });
  });
