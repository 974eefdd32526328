/**
 * One case per op at the sizes of SmolLM2-135M (hidden 576, 9 query and 3 KV heads of 64, 2,048 cached rows), with what it
 * must move and compute: the floor its time is compared with.
 * @module
 */
import type { WeightType } from "../backends/backend.ts";
import { weightBytes } from "../backends/blocks.ts";
import type { RowCodec } from "../backends/ops.ts";
import { codecOf, rowBytes } from "../cache/codec.ts";
import { plainAttend, withinCodes } from "../conformance/attend_cases.ts";
import { type Case, caseOf, input, output, outputIn, updated, withNmse } from "../conformance/case.ts";
import {
  columnOf,
  type Layout,
  layoutOf,
  layoutWords,
  newestOf,
  nextRanges,
  positionsOf,
  rowRanges,
  rowsOf,
} from "../conformance/layouts.ts";
import { randomOf } from "../conformance/random.ts";
import { weightOf } from "../conformance/weights.ts";

/** The measured limit of the machine that a case runs into; `int8` is that of weights in blocks, whose codes are bytes at most. */
export type Limit = "f32" | "int8" | "read";

/** A case with its floor. */
export interface BenchCase {
  readonly name: string;
  readonly one: Case;
  /** Bytes that must be read or written. */
  readonly bytes: number;
  /** Arithmetic operations; a multiply-add counts as two. */
  readonly operations: number;
  readonly limit: Limit;
  /** Another limit that is near. */
  readonly also?: Limit;
}

const seed = 2026;
const [hidden, heads, kvHeads, dim, rows] = [576, 9, 3, 64, 2048];
const random = randomOf("bench", seed);

const matmul = (type: WeightType, m: number, n: number, k: number): BenchCase => {
  const weight = weightOf(random, type, n, k);
  const float = type === "F32" || type === "F16";
  const out = output("matmul", m * n);
  return {
    name: `matmul ${type} ${m} x ${n} x ${k}`,
    one: caseOf("bench", { op: "matmul", params: { m, n, k, accumulate: false } }, {
      x: input(random.normals(m * k)),
      weight,
      out: float ? withNmse(1e-10)(out) : out,
    }),
    bytes: (weightBytes(type, n, k) ?? 0) + 4 * m * (n + k),
    operations: 2 * m * n * k,
    limit: m === 1 ? "read" : float ? "f32" : "int8",
  };
};

const layoutWith = (length: number, room = 0): Layout => layoutOf(random, Array.from({ length: kvHeads }, () => length), room);
const even = layoutWith(rows);
const slotBytes = (layout: Layout, bytes: number): number => layout.segments.reduce((sum, s) => sum + s.length * bytes, 0);
const words = (layout: Layout) => input(layoutWords(layout));

/** Segments behind each other, from the start: rows that are stored in blocks start with a block. */
const packed = (length: number): Layout => ({
  label: `rows ${length}`,
  segments: Array.from({ length: kvHeads }, (_, h) => ({ start: h * length, length, capacity: length })),
  slots: kvHeads * length,
});

const attend = (m: number, length: number, keyCodec: RowCodec, valueCodec: RowCodec = keyCodec): BenchCase => {
  const layout = packed(length);
  const position = positionsOf(random, layout, 1);
  const newest = newestOf(layout, position);
  const seen = m === 1 ? length : length - (m - 1) / 2;
  const within = withinCodes(m, [keyCodec, valueCodec]);
  return {
    name: `attend ${m} query x ${length} rows ${[...new Set([keyCodec, valueCodec])].join(" ")}`,
    one: caseOf("bench", { op: "attend", params: plainAttend(m, kvHeads, heads / kvHeads, dim, keyCodec, valueCodec) }, {
      q: input(random.normals(m * heads * dim)),
      keys: input(rowsOf(random, layout, dim, keyCodec)),
      values: input(rowsOf(random, layout, dim, valueCodec)),
      position: input(position),
      layout: words(layout),
      queryPosition: input(Uint32Array.from({ length: m }, (_, i) => newest - m + 1 + i)),
      out: within.out(output("attend", m * heads * dim)),
      lse: within.lse(output("attend", m * heads)),
    }),
    bytes: slotBytes(layout, rowBytes(codecOf(keyCodec), dim) + rowBytes(codecOf(valueCodec), dim)),
    operations: 4 * m * heads * dim * seen,
    limit: m === 1 ? "read" : "f32",
    // Three queries are six operations a value: of two bytes, more than a core computes while it reads them.
    ...(m === 1 && keyCodec.startsWith("f") ? { also: "f32" as const } : {}),
  };
};

const attendReduce = (queries: number): BenchCase => {
  const position = positionsOf(random, even, 1);
  const newest = newestOf(even, position);
  return {
    name: `attendReduce ${queries} ${queries === 1 ? "query" : "queries"} x ${rows} rows`,
    one: caseOf("bench", {
      op: "attendReduce",
      params: {
        queries,
        heads,
        kvHeads,
        keyDim: dim,
        keyCodec: "f16",
        scale: 1 / 8,
        window: 0,
        softcap: 0,
        overQueries: "sum",
        overGroup: "mean",
        accumulate: false,
      },
    }, {
      q: input(random.normals(queries * heads * dim)),
      keys: input(rowsOf(random, even, dim, "f16")),
      position: input(position),
      layout: words(even),
      queryPosition: input(Uint32Array.from({ length: queries }, (_, i) => newest - queries + 1 + i)),
      lse: input(new Float32Array(queries * heads).fill(8)),
      out: outputIn("attendReduce", even.slots, rowRanges(even, 4)),
    }),
    bytes: slotBytes(even, dim * 2 + 4),
    operations: 2 * queries * heads * dim * rows,
    limit: queries === 1 ? "read" : "f32",
  };
};

const dense = (): ReadonlyArray<BenchCase> => {
  const m = 512;
  const floats = m * hidden;
  return [
    {
      name: `norm ${m} x ${hidden}`,
      one: caseOf("bench", { op: "norm", params: { rows: m, dim: hidden, eps: 1e-5 } }, {
        x: input(random.normals(floats)),
        weight: weightOf(random, "F32", 1, hidden, { uses: ["vector"] }),
        out: output("norm", floats),
      }),
      bytes: 8 * floats,
      operations: 4 * floats,
      limit: "read",
    },
    {
      name: `glu ${m} x 1536`,
      one: caseOf("bench", { op: "glu", params: { count: m * 1536, activation: "silu" } }, {
        gate: input(random.normals(m * 1536)),
        up: input(random.normals(m * 1536)),
        out: output("glu", m * 1536),
      }),
      bytes: 12 * m * 1536,
      operations: 20 * m * 1536,
      limit: "read",
    },
    {
      name: "argmax 49152",
      one: caseOf("bench", { op: "argmax", params: { m: 1, n: 49152 } }, { x: input(random.normals(49152)), out: output("argmax", 1) }),
      bytes: 4 * 49152,
      operations: 49152,
      limit: "read",
    },
  ];
};

const columns = (): ReadonlyArray<BenchCase> => {
  const position = positionsOf(random, even, 1);
  const keys = rowsOf(random, even, dim, "f16");
  const score = columnOf(even, () => random.uniform());
  const ranges = rowRanges(even, 4);
  const column = (op: "reduce" | "similarity" | "pool") => outputIn(op, even.slots, ranges);
  const counts = output("rank", kvHeads);
  const kept = { bytes: new Uint8Array(even.slots * 4), expect: { _tag: "Kept", ranges, counts: "counts" } } as const;
  const half: Layout = { ...even, segments: even.segments.map((s) => ({ ...s, length: s.length / 2 })) };
  const keep = Uint32Array.from({ length: even.slots }, () => 0);
  for (const s of even.segments) for (let i = 0; i < s.length / 2; i++) keep[s.start + i] = 2 * i;
  return [
    {
      name: `reduce l2 ${rows} rows`,
      one: caseOf("bench", { op: "reduce", params: { heads: kvHeads, dim, codec: "f16", by: "l2" } }, {
        rows: input(keys),
        layout: words(even),
        out: column("reduce"),
      }),
      bytes: slotBytes(even, 2 * dim + 4),
      operations: slotBytes(even, 2 * dim),
      limit: "read",
    },
    {
      name: `pool max 7 ${rows} rows`,
      one: caseOf("bench", { op: "pool", params: { heads: kvHeads, by: "max", size: 7, dropLast: 32 } }, {
        a: input(score),
        layout: words(even),
        out: column("pool"),
      }),
      bytes: slotBytes(even, 8),
      operations: slotBytes(even, 7),
      limit: "read",
    },
    {
      name: `rank ${rows / 2} of ${rows} rows`,
      one: caseOf("bench", { op: "rank", params: { heads: kvHeads, mode: "perHead", count: rows / 2, floor: 0, sinks: 4, recent: 32 } }, {
        score: input(score),
        position: input(position),
        layout: words(even),
        newest: input(Uint32Array.of(newestOf(even, position))),
        keep: kept,
        counts,
      }),
      bytes: slotBytes(even, 12),
      operations: slotBytes(even, 4),
      limit: "read",
    },
    {
      name: `compact ${rows / 2} of ${rows} rows f16`,
      one: caseOf("bench", { op: "compact", params: { heads: kvHeads, rowBytes: 2 * dim } }, {
        source: input(keys),
        keep: input(keep),
        counts: input(new Uint32Array(kvHeads).fill(rows / 2)),
        sourceLayout: words(even),
        targetLayout: words(half),
        target: updated("compact", new Float16Array(even.slots * dim), rowRanges(half, 2 * dim)),
      }),
      bytes: slotBytes(half, 4 * dim),
      operations: 0,
      limit: "read",
    },
  ];
};

const append = (m: number): BenchCase => {
  const layout = layoutWith(rows, m);
  const bytes = (width: number) => nextRanges(layout, m, width);
  return {
    name: `append ${m} rows f16`,
    one: caseOf("bench", {
      op: "append",
      params: { m, heads: kvHeads, keyDim: dim, valueDim: dim, keyCodec: "f16", valueCodec: "f16" },
    }, {
      k: input(random.normals(m * kvHeads * dim)),
      v: input(random.normals(m * kvHeads * dim)),
      positions: input(Uint32Array.from({ length: m }, (_, i) => rows + i)),
      keys: updated("append", new Float16Array(layout.slots * dim), bytes(2 * dim)),
      values: updated("append", new Float16Array(layout.slots * dim), bytes(2 * dim)),
      position: updated("append", new Uint32Array(layout.slots), bytes(4)),
      layout: updated("append", layoutWords(layout)),
    }),
    bytes: m * kvHeads * dim * 2 * (4 + 2),
    operations: 0,
    limit: "read",
  };
};

/** Every case. Building them takes a second or two. */
export const benchCases = (): ReadonlyArray<BenchCase> => [
  matmul("Q4_1", 512, 1536, 576),
  matmul("Q4_1", 512, 576, 1536),
  matmul("Q4_1", 1, 1536, 576),
  matmul("Q8_0", 512, 1536, 576),
  matmul("Q8_0", 1, 49152, 576),
  matmul("Q4_K", 512, 1536, 768),
  matmul("Q6_K", 512, 1536, 768),
  matmul("F32", 512, 1536, 576),
  matmul("F16", 512, 1536, 576),
  attend(1, 2048, "f16"),
  attend(1, 8192, "f16"),
  attend(1, 8192, "f32"),
  attend(1, 8192, "q8", "q4"),
  attend(1, 8192, "q4c32", "q4g32"),
  attend(1, 8192, "q2c32", "q2g32"),
  attend(256, 2048, "f16"),
  attendReduce(1),
  attendReduce(32),
  ...dense(),
  ...columns(),
  append(256),
];
