/**
 * Cases of several ops with temporaries between them: values that outlive others, weights used twice, a cache step whole.
 * @module
 */
import type { WeightSource } from "../backends/backend.ts";
import { type OpName, ops } from "../backends/ops.ts";
import { type Instr, NONE, type Value } from "../backends/program.ts";
import { type Call, type Case, type Data, input, output, updated } from "./case.ts";
import { columnOf, type Layout, layoutOf, layoutWords, newestOf, positionsOf, rowRanges, rowsOf } from "./layouts.ts";
import { randomOf } from "./random.ts";
import { weightOf } from "./weights.ts";

/** What the values of a program are, by name; sizes of temporaries in bytes. */
interface Named {
  readonly buffers: Readonly<Record<string, Data>>;
  readonly weights: ReadonlyArray<WeightSource>;
  readonly temps: Readonly<Record<string, number>>;
}

/** An op and the names of its operands in the order of the op table of the call, "-" for an absent one. */
export type Step = readonly [call: Call, operands: string];

/** A case that counts as one of `op`. */
export function programCase(op: OpName, label: string, named: Named, steps: ReadonlyArray<Step>): Case {
  const values = new Map<string, Value>([
    ...Object.keys(named.buffers).map((name): [string, Value] => [name, { _tag: "Bound", name }]),
    ...named.weights.map(({ name }): [string, Value] => [name, { _tag: "Weight", name }]),
    ...Object.entries(named.temps).map(([name, bytes]): [string, Value] => [name, { _tag: "Temp", label: name, bytes }]),
  ]);
  const names = [...values.keys()];
  const body = steps.map(([call, operands]): Instr => {
    const given = operands.split(" ");
    return { ...call, args: ops[call.op].operands.map((_, i) => given[i] === "-" ? NONE : names.indexOf(given[i] ?? "")) };
  });
  const program = { label, values: [...values.values()], body };
  return { op, label: `${op}: program ${label}`, program, buffers: named.buffers, weights: named.weights };
}

/** Sums and products whose temporaries die at different times, so that their memory is used again. */
export const temporaryCases = (seed: number): ReadonlyArray<Case> =>
  [1, 33, 1025].map((count) => {
    const random = randomOf(`temporaries ${count}`, seed);
    const fn = (name: "add" | "mul" | "sub"): Call => ({ op: "map", params: { fn: name, count, value: 0, heads: 0 } });
    const bytes = count * 4;
    return programCase("map", `with five temporaries of ${count}`, {
      buffers: {
        a: input(random.normals(count)),
        b: input(random.normals(count)),
        first: output("map", count),
        last: output("map", count),
      },
      weights: [],
      temps: { t1: bytes, t2: bytes, t3: bytes + 64, t4: bytes, t5: bytes },
    }, [
      [fn("add"), "a b - t1"],
      [fn("mul"), "t1 a - t2"],
      [fn("sub"), "t2 b - t3"],
      [fn("add"), "t3 t1 - first"],
      [fn("mul"), "t3 t3 - t4"],
      [fn("add"), "t4 t1 - t5"],
      [fn("sub"), "t5 a - last"],
    ]);
  });

/** Embedding, norm and the same matrix again as the output matrix, as models with tied weights do it. */
export const tiedCases = (seed: number): ReadonlyArray<Case> =>
  (["Q8_0", "Q4_1", "F16"] as const).flatMap((type) =>
    [1, 5].map((m) => {
      const random = randomOf(`tied ${type} ${m}`, seed);
      const [vocab, dim] = [65, 96];
      const table = weightOf(random, type, vocab, dim, { name: "table", uses: ["embed", "matmul"] });
      const weight = weightOf(random, "F32", 1, dim, { name: "weight", uses: ["vector"] });
      return programCase("matmul", `with the tied matrix ${type} and m ${m}`, {
        buffers: {
          ids: input(Uint32Array.from({ length: m }, () => random.integer(vocab))),
          logits: output("matmul", m * vocab),
        },
        weights: [table, weight],
        temps: { x: m * dim * 4 },
      }, [
        [{ op: "embed", params: { m, dim, scale: 1 } }, "table ids x"],
        [{ op: "norm", params: { rows: m, dim, eps: 1e-5 } }, "x weight x"],
        [{ op: "matmul", params: { m, n: vocab, k: dim, accumulate: false } }, "x table - logits"],
      ]);
    })
  );

/** Several matrices over one input, which then changes in place: a backend that keeps prepared activations must notice. */
export const sharedInputCases = (seed: number): ReadonlyArray<Case> =>
  [1, 5].map((m) => {
    const random = randomOf(`shared input ${m}`, seed);
    const [n, k] = [40, 96];
    const matmul: Call = { op: "matmul", params: { m, n, k, accumulate: false } };
    const scale: Call = { op: "map", params: { fn: "scale", count: m * k, value: -3, heads: 0 } };
    const types = ["Q4_1", "Q8_0", "F32"] as const;
    const results = ["gate", "up", "plain", "again", "moved"];
    return programCase("matmul", `of three matrices over one input of ${m}`, {
      buffers: { a: input(random.normals(m * k)), ...Object.fromEntries(results.map((name) => [name, output("matmul", m * n)])) },
      weights: types.map((type) => weightOf(random, type, n, k, { name: type })),
      temps: { x: m * k * 4 },
    }, [
      [{ op: "map", params: { fn: "copy", count: m * k, value: 0, heads: 0 } }, "a - - x"],
      [matmul, "x Q4_1 - gate"],
      [matmul, "x Q8_0 - up"],
      [matmul, "x F32 - plain"],
      [matmul, "x Q4_1 - again"],
      [scale, "x - - x"],
      [matmul, "x Q4_1 - moved"],
    ]);
  });

/** A policy's step: score by age, rank, compact everything in place, truncate, and attend to what is left. */
export const evictionCases = (seed: number): ReadonlyArray<Case> =>
  [[0], [33], [127, 0, 31], [1, 1025, 3]].flatMap((lengths) => [0, 16].map((count) => evictionCase(seed, lengths, count)));

function evictionCase(seed: number, lengths: ReadonlyArray<number>, count: number): Case {
  const random = randomOf(`eviction ${lengths} ${count}`, seed);
  const [layout, heads, dim, m] = [layoutOf(random, lengths, 1), lengths.length, 32, 2];
  const position = positionsOf(random, layout);
  const newest = newestOf(layout, position);
  const after: Layout = { ...layout, segments: layout.segments.map((s) => ({ ...s, length: Math.min(s.length, Math.max(count, 4)) })) };
  const held = (bytesPerSlot: number) => rowRanges(after, bytesPerSlot);
  const attend = {
    m,
    heads,
    kvHeads: heads,
    keyDim: dim,
    valueDim: dim,
    keyCodec: "f16",
    valueCodec: "f32",
    scale: 0.2,
    window: 0,
    softcap: 0,
    merge: false,
  } as const;
  const move = (rowBytes: number, name: string): Step => [
    { op: "compact", params: { heads, rowBytes } },
    `${name} keep counts layout layout ${name}`,
  ];
  return programCase("compact", `that evicts all but ${count} of ${layout.label} and attends`, {
    buffers: {
      q: input(random.normals(m * heads * dim)),
      keys: updated("compact", rowsOf(random, layout, dim, "f16"), held(dim * 2)),
      values: updated("compact", rowsOf(random, layout, dim, "f32"), held(dim * 4)),
      position: updated("compact", position, held(4)),
      mass: updated("compact", columnOf(layout, () => random.uniform()), held(4)),
      layout: updated("truncate", layoutWords(layout), layout.segments.map((_, h) => ({ from: h * 12 + 4, to: h * 12 + 8 }))),
      newest: input(Uint32Array.of(newest)),
      queryPosition: input(Uint32Array.of(newest, newest + 1)),
      out: output("attend", m * heads * dim),
      lse: output("attend", m * heads),
    },
    weights: [],
    temps: { age: layout.slots * 4, score: layout.slots * 4, keep: layout.slots * 4, counts: heads * 4 },
  }, [
    [{ op: "positions", params: { heads } }, "position layout age"],
    [{ op: "map", params: { fn: "neg", count: layout.slots, value: 0, heads } }, "age - layout score"],
    [
      { op: "rank", params: { heads, mode: "perHead", count, floor: 0, sinks: 2, recent: 2 } },
      "score position layout newest keep counts",
    ],
    move(dim * 2, "keys"),
    move(dim * 4, "values"),
    move(4, "mass"),
    move(4, "position"),
    [{ op: "truncate", params: { heads } }, "counts layout"],
    [{ op: "attend", params: attend }, "q keys values position layout queryPosition out lse"],
  ]);
}
