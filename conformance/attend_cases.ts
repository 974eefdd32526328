/**
 * Cases of attention: `attend` and `attendReduce`.
 * @module
 */
import type { OpParams, RowCodec } from "../backends/ops.ts";
import { type Case, caseOf, type Data, input, output, outputIn, updated, withNmse } from "./case.ts";
import {
  blocked,
  channelForms,
  codedRows,
  type Layout,
  layoutOf,
  layoutWords,
  newestOf,
  positionsOf,
  rowForms,
  rowRanges,
  rowsOf,
} from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

/** A query position that means "no query here". */
const noQuery = 0xFFFFFFFF;

/** The log-sum-exp where nothing is visible. */
const emptyLse = -1e30;

interface Form {
  readonly lengths: ReadonlyArray<number>;
  readonly dim: number;
  readonly codec: RowCodec;
  /** Queries. */
  readonly m: number;
  /** Query heads per KV head. */
  readonly group: number;
  readonly window: number;
  readonly softcap: number;
}

/** Every length pattern, width and codec, with few and many queries, groups of one and of several, masks of all kinds. */
const forms: ReadonlyArray<Form> = [...rowForms, ...channelForms].flatMap(({ lengths, dim, codec }, i) =>
  [0, 1, 3, 33].map((m, j) => ({
    lengths,
    dim,
    codec,
    m,
    group: [1, 3, 7][(i + j) % 3] ?? 1,
    window: [0, 1, 16, 0, 200][(i + 2 * j) % 5] ?? 0,
    softcap: (i + j) % 4 === 3 ? 20 : 0,
  }))
);

const showForm = ({ dim, codec, m, group, window, softcap }: Form, layout: Layout): string =>
  `${m} queries of ${group} heads each, ${dim} ${codec}, ${layout.label}` +
  `${window > 0 ? `, window ${window}` : ""}${softcap > 0 ? `, softcap ${softcap}` : ""}`;

/** Query positions as in prefill: the last is the newest row, the first may be older than every row; every fifth has none. */
const queryPositions = (random: Random, newest: number, m: number): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: m }, (_, i) => i % 5 === 4 ? noQuery : Math.max(0, newest - (m - 1 - i) * (1 + random.integer(2))));

/** What is allowed of one query over rows that are codes. Queries and weights may be whole numbers of 16 bits there: their rounding is 2e-5 of a
 * score's scale |q| |k|, and of the largest weight among some hundred rows, which one peak raises for all of them; some hundred times less than
 * that of codes. The log-sum-exp of one row is its score, which may be near zero and still has the error of its scale. */
export const withinCodes = (m: number, codecs: ReadonlyArray<RowCodec>): { readonly out: Within; readonly lse: Within } =>
  m === 1 && codecs.some((codec) => codec.startsWith("q"))
    ? { out: withNmse(2e-8), lse: withNmse(1e-8, 1) }
    : { out: (data) => data, lse: (data) => data };

type Within = (data: Data) => Data;

/** Keys and queries of variance 1 at this scale give scores of variance 1. */
const scaleOf = (dim: number): number => 1 / Math.sqrt(dim);

/** Parameters of attention without window, softcap or merging, values as wide as keys. */
export const plainAttend = (
  m: number,
  kvHeads: number,
  group: number,
  dim: number,
  keyCodec: RowCodec,
  valueCodec: RowCodec,
): OpParams["attend"] => ({
  m,
  heads: kvHeads * group,
  kvHeads,
  keyDim: dim,
  valueDim: dim,
  keyCodec,
  valueCodec,
  scale: scaleOf(dim),
  window: 0,
  softcap: 0,
  merge: false,
});

export const attendCases = (seed: number): ReadonlyArray<Case> => [
  ...forms.flatMap((form, i) => [attendCase(seed, form, i % 3 === 2, 1)]),
  ...(["q8c32", "q4c32", "q2c32"] as const).map((codec) => standingOut(seed, codec)),
  ...[1, 33].flatMap((m) => [
    attendCase(seed, { lengths: [1025, 33], dim: 64, codec: "f16", m, group: 3, window: 0, softcap: 0 }, true, 1),
    attendCase(seed, { lengths: [127, 1025], dim: 64, codec: "f32", m, group: 3, window: 0, softcap: 0 }, false, 30),
    attendCase(seed, { lengths: [1025, 33], dim: 64, codec: "q4g32", m, group: 3, window: 0, softcap: 0 }, false, 1),
  ]),
];

function attendCase(seed: number, form: Form, merge: boolean, spread: number): Case {
  const { lengths, dim, codec, m, group, window, softcap } = form;
  const random = randomOf(`attend ${JSON.stringify(form)} ${merge} ${spread}`, seed);
  const [layout, kvHeads] = [layoutOf(random, lengths, 2), lengths.length];
  const [heads, position] = [kvHeads * group, positionsOf(random, layout)];
  const valueDim = m % 2 === 0 || codec.startsWith("q") ? dim : 32;
  const params = { ...plainAttend(m, kvHeads, group, dim, codec, codec), valueDim, window, softcap, merge };
  const [before, within] = [mergedWith(random, m * heads, valueDim), withinCodes(m, [codec])];
  return caseOf(`${showForm(form, layout)}${merge ? ", merged" : ""}${spread > 1 ? ", peaked" : ""}`, { op: "attend", params }, {
    q: input(random.normals(m * heads * dim, spread)),
    keys: input(rowsOf(random, layout, dim, codec)),
    values: input(rowsOf(random, layout, valueDim, codec)),
    position: input(position),
    layout: input(layoutWords(layout)),
    queryPosition: input(queryPositions(random, newestOf(layout, position), m)),
    out: within.out(merge ? before.out : output("attend", m * heads * valueDim)),
    lse: within.lse(merge ? before.lse : output("attend", m * heads)),
  });
}

/** Keys of which one channel is thirty times as large as the others, as keys of real models have them, and queries that make up for it. Rows of
 * the first head are seen from the middle of a block on, and are more than any tile takes. */
function standingOut(seed: number, keyCodec: RowCodec): Case {
  const [dim, kvHeads, group, valueCodec] = [64, 2, 3, "q4g32"] as const;
  const random = randomOf(`attend standing out ${keyCodec}`, seed);
  const layout = blocked(layoutOf(random, [700, 65]), 32);
  const [heads, position] = [kvHeads * group, positionsOf(random, layout)];
  const scaled = (rows: number, factor: number): Float32Array<ArrayBuffer> =>
    random.normals(rows * dim).map((x, i) => i % dim === 3 ? x * factor : x);
  const params = { ...plainAttend(1, kvHeads, group, dim, keyCodec, valueCodec), window: 333 };
  const within = withinCodes(1, [keyCodec]);
  return caseOf(`${keyCodec}, one channel standing out`, { op: "attend", params }, {
    q: input(scaled(heads, 1 / 30)),
    keys: input(codedRows(layout, dim, keyCodec, scaled(layout.slots, 30))),
    values: input(rowsOf(random, layout, dim, valueCodec)),
    position: input(position),
    layout: input(layoutWords(layout)),
    queryPosition: input(Uint32Array.of(newestOf(layout, position))),
    out: within.out(output("attend", heads * dim)),
    lse: within.lse(output("attend", heads)),
  });
}

/** What an earlier tier left: every third result is empty. */
function mergedWith(random: Random, rows: number, dim: number): { readonly out: Data; readonly lse: Data } {
  const empty = (row: number): boolean => row % 3 === 2;
  const [out, lse] = [random.normals(rows * dim), random.normals(rows)];
  return {
    out: updated("attend", out.map((x, i) => empty(Math.floor(i / dim)) ? 0 : x)),
    lse: updated("attend", lse.map((x, row) => empty(row) ? emptyLse : 3 + x)),
  };
}

export const attendReduceCases = (seed: number): ReadonlyArray<Case> => {
  const folds = ["sum", "mean", "max"] as const;
  return forms.map((form, i) => reduceCase(seed, form, folds[i % 3] ?? "sum", folds[Math.floor(i / 3) % 3] ?? "sum", i % 2 === 1, i % 4));
};

function reduceCase(
  seed: number,
  form: Form,
  overQueries: "sum" | "mean" | "max",
  overGroup: "sum" | "mean" | "max",
  accumulate: boolean,
  weighted: number,
): Case {
  const { lengths, dim, codec, m, group, window, softcap } = form;
  const random = randomOf(`attendReduce ${JSON.stringify(form)}`, seed);
  const [layout, kvHeads] = [layoutOf(random, lengths, 2), lengths.length];
  const [heads, position] = [kvHeads * group, positionsOf(random, layout)];
  const params = {
    queries: m,
    heads,
    kvHeads,
    keyDim: dim,
    keyCodec: codec,
    scale: scaleOf(dim),
    window,
    softcap,
    overQueries,
    overGroup,
    accumulate,
  };
  const lse = random.normals(m * heads).map((x, i) => i % 7 === 6 ? emptyLse : 4 + x);
  const mass = random.normals(layout.slots);
  // Each optional operand without the other, both, neither.
  const divisor = weighted % 2 === 1 ? { divisor: input(random.normals(m).map((x) => 0.1 + Math.abs(8 * x))) } : {};
  const gain = weighted >= 2 ? { gain: input(random.normals(layout.slots * group).map((x) => 2 + x)) } : {};
  const weights = `${"divisor" in divisor ? ", divided" : ""}${"gain" in gain ? ", with gain" : ""}`;
  const label = `${overQueries} over ${showForm(form, layout)}, ${overGroup} over the group${weights}${accumulate ? ", accumulated" : ""}`;
  return caseOf(label, { op: "attendReduce", params }, {
    q: input(random.normals(m * heads * dim)),
    keys: input(rowsOf(random, layout, dim, codec)),
    position: input(position),
    layout: input(layoutWords(layout)),
    queryPosition: input(queryPositions(random, newestOf(layout, position), m)),
    lse: input(lse),
    ...divisor,
    ...gain,
    out: withinCodes(m, [codec]).out(
      accumulate ? updated("attendReduce", mass, rowRanges(layout, 4)) : outputIn("attendReduce", layout.slots, rowRanges(layout, 4)),
    ),
  });
}
