/**
 * What the papers promise, end to end over a memory of any backend: their golden cases and what the table cannot say. Nothing here needs
 * a test runner, so that a page can check itself.
 * @module
 */
import { type ModelShape, uniformShape } from "../cache/mod.ts";
import { h2o, parsePolicy } from "../papers/mod.ts";
import { append, compress, type Dense, dispose, fromDense, type Memory, type Observations, orThrow, read } from "../run/mod.ts";
import { golden, type GoldenRows } from "./papers_golden.ts";

/** What a check found, and what it must have found: plain data that compares by value. */
export interface Finding {
  readonly found: unknown;
  readonly expected: unknown;
}

/** One promise of a paper, kept or not on the backend behind a memory. */
export interface PaperCheck {
  readonly name: string;
  readonly run: (memory: Memory) => Promise<Finding>;
}

/** A host's side of a case. */
interface Host {
  readonly dense: Dense;
  readonly observations: Observations;
  readonly rows: number;
}

/** Keys whose products with unit queries are the logarithms of the probabilities: key channel g * w + i serves query i of
 * query head g. exp(-60) stands for 0: it is far below every other score and rounds away in every sum. */
function hostOf(of: GoldenRows): Host {
  if ("keys" in of) {
    const dim = of.keys[0]?.[0]?.length ?? 0;
    const rows = of.keys[0]?.length ?? 0;
    const shape = shapeOf(of.keys.length, 1, dim);
    return {
      dense: denseOf(shape, of.keys),
      observations: { queries: [new Float32Array(of.keys.length * dim)], positions: [rows - 1] },
      rows,
    };
  }
  const [heads, group] = [of.attention.length, of.attention[0]?.length ?? 0];
  const window = of.attention[0]?.[0]?.length ?? 0;
  const rows = Math.max(...(of.attention[0]?.[0] ?? []).map((p) => p.length));
  const dim = group * window;
  const keys = of.attention.map((members) =>
    Array.from({ length: rows }, (_, t) => members.flatMap((queries) => queries.map((p) => (p[t] ?? 0) === 0 ? -60 : Math.log(p[t] ?? 0))))
  );
  const queries = new Float32Array(window * heads * dim * group);
  for (let i = 0; i < window; i++) {
    for (let q = 0; q < heads * group; q++) queries[(i * heads * group + q) * dim + (q % group) * window + i] = 1;
  }
  const positions = Array.from({ length: window }, (_, i) => rows - window + i);
  return { dense: denseOf(shapeOf(heads, group, dim), keys), observations: { queries: [queries], positions }, rows };
}

const shapeOf = (kvHeads: number, group: number, headDim: number): ModelShape =>
  uniformShape({ layers: 1, queryHeads: kvHeads * group, kvHeads, headDim, scale: 1 });

/** Values are all different, so that a wrong row shows. */
const denseOf = (shape: ModelShape, keys: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>): Dense => ({
  shape,
  layers: [{ keys: Float32Array.from(keys.flat(2)), values: Float32Array.from(keys.flat(2), (_, i) => i + 1) }],
});

const f32 = { codec: { _tag: "Plain", dtype: "f32" } } as const;

/** Positions that stay per head, and whether the rows read back are those of the host. */
async function keptBy(
  memory: Memory,
  text: string,
  { dense, observations, rows }: Host,
  tokenClass?: ReadonlyArray<number>,
): Promise<{ readonly kept: ReadonlyArray<ReadonlyArray<number>>; readonly areRowsOfHost: boolean }> {
  const policy = await orThrow(parsePolicy(text));
  const cache = await orThrow(fromDense(memory, f32)(dense));
  const pruned = await orThrow(compress(memory, policy)(cache, tokenClass === undefined ? observations : { ...observations, tokenClass }));
  const { layers: [heads = []] } = await orThrow(read(memory)(pruned));
  const dim = dense.shape.layers[0]?.valueDim ?? 0;
  const areRowsOfHost = heads.every((head, h) => {
    const from = (source: Float32Array | undefined) =>
      [...head.positions].flatMap((p) => [...source?.subarray((h * rows + p) * dim, (h * rows + p + 1) * dim) ?? []]);
    return `${head.keys}` === `${from(dense.layers[0]?.keys)}` && `${head.values}` === `${from(dense.layers[0]?.values)}`;
  });
  await orThrow(dispose(memory)(cache));
  await orThrow(dispose(memory)(pruned));
  return { kept: heads.map((head) => [...head.positions]), areRowsOfHost };
}

const goldenChecks: ReadonlyArray<PaperCheck> = golden.map(({ name, policy, rows, classes, kept }) => ({
  name,
  run: async (memory) => ({
    found: await keptBy(memory, policy, hostOf(rows), classes),
    expected: { kept, areRowsOfHost: true },
  }),
}));

const rounded = (numbers: Iterable<number>, digits: number): ReadonlyArray<number> =>
  [...numbers].map((x) => Math.round(x * 10 ** digits) / 10 ** digits);

/** H2O's column of attention mass travels with its rows. */
async function massIsCarried(memory: Memory): Promise<Finding> {
  // Channel i of a key is the logarithm of the probability that query i gives the row.
  const p = [[0.5, 0.3, 0.2, 0], [0.1, 0.2, 0.3, 0.4]];
  const keyOf = (t: number) => p.map((row) => (row[t] ?? 0) === 0 ? -60 : Math.log(row[t] ?? 0));
  const shape = shapeOf(1, 1, 2);
  const observe = (i: number, at: number) => ({ queries: [Float32Array.from([0, 1], (c) => c === i ? 1 : 0)], positions: [at] });
  const policy = h2o({ rows: 3, recent: 1 });
  const start = await orThrow(fromDense(memory, f32)(denseOf(shape, [[0, 1, 2].map(keyOf)])));
  const first = await orThrow(compress(memory, policy)(start, observe(0, 2)));
  const longer = await orThrow(append(memory)(first, { layers: [{ keys: Float32Array.from(keyOf(3)), values: Float32Array.of(9, 9) }] }));
  const second = await orThrow(compress(memory, policy)(longer, observe(1, 3)));
  const { layers: [[head] = []] } = await orThrow(read(memory)(second));
  // Sums after both queries: 0.6, 0.5, 0.5, 0.4. The newest stays, then 0, then the lower of the two at 0.5 (equal but for
  // rounding: f32 sums of products of exp and log, so either may be ahead).
  const kept = [...head?.positions ?? []];
  return { found: [kept[0], kept.at(-1), kept.length, rounded(head?.columns.mass ?? [], 3)], expected: [0, 3, 3, [0.6, 0.5, 0.4]] };
}

/** Rows that a policy in text keeps per layer of a model of one head and constant keys. */
async function rowsByLayer(memory: Memory, text: string, layers: number, rows: number): Promise<ReadonlyArray<number>> {
  const shape = uniformShape({ layers, queryHeads: 1, kvHeads: 1, headDim: 1, scale: 1 });
  const row = { keys: new Float32Array(rows).fill(1), values: new Float32Array(rows) };
  const cache = await orThrow(fromDense(memory, f32)({ shape, layers: shape.layers.map(() => row) }));
  const pruned = await orThrow(compress(memory, await orThrow(parsePolicy(text)))(cache));
  return (await orThrow(read(memory)(pruned))).layers.map((heads) => heads[0]?.positions.length ?? 0);
}

async function leaverIsFolded(memory: Memory): Promise<Finding> {
  const dense: Dense = {
    shape: shapeOf(1, 1, 2),
    layers: [{ keys: Float32Array.of(1, 0, 0, 3, 2, 0), values: Float32Array.of(0, 3, 4, 4, 3, 0) }],
  };
  const cache = await orThrow(fromDense(memory, f32)(dense));
  const policy = await orThrow(parsePolicy("knorm(1)|protect(0, recent=0)|merge"));
  const { layers: [[head] = []] } = await orThrow(read(memory)(await orThrow(compress(memory, policy)(cache))));
  // Row 0 stays; row 2 has its direction and norm 3; row 1 is orthogonal to it and vanishes.
  return { found: [[...head?.positions ?? []], rounded(head?.values ?? [], 4)], expected: [[0], [1, 2]] };
}

/** Every check of the papers. */
export const paperChecks: ReadonlyArray<PaperCheck> = [
  ...goldenChecks,
  { name: "H2O: survivors carry their mass; what attention adds later is added to it", run: massIsCarried },
  {
    name: "PyramidKV: 128 rows, window 8, 32 layers, 4,096 tokens: 242 rows in the first layer, 25 in the last",
    run: async (memory) => ({
      found: await rowsByLayer(memory, "streamingllm(128, sinks=0)|protect(0, recent=8)|pyramid(20)", 32, 4096),
      // hi 234, lo 6, step 7, and the window of 8 on top.
      expected: Array.from({ length: 32 }, (_, l) => 234 - 7 * l + 8),
    }),
  },
  {
    name: "layers(...) leaves the other layers whole",
    run: async (memory) => ({
      found: await rowsByLayer(memory, "knorm(3)|layers(2..)+streamingllm(5)|layers([0])", 4, 10),
      expected: [5, 10, 3, 3],
    }),
  },
  { name: "merge: a leaver of the same direction and norm is folded in with weight 1/2: (v + v_e / 2) / 1.5", run: leaverIsFolded },
];
