/**
 * Cases of ops over whole matrices and single elements: `embed`, `norm`, `matmul`, `argmax`, `rope`, `glu`, `map`.
 * @module
 */
import type { WeightSource, WeightType } from "../backends/backend.ts";
import { weightTypes } from "../backends/blocks.ts";
import { decodeBlocks } from "../backends/reference/mod.ts";
import { type MapFn, mapFns } from "../backends/ops.ts";
import { type Case, caseOf, input, output, outputIn, updated, withNmse } from "./case.ts";
import { columnOf, layoutOf, layoutWords, lengthsToTry, rowRanges } from "./layouts.ts";
import { randomOf } from "./random.ts";
import { weightOf } from "./weights.ts";

/** Counts at which loops of 4, 8, 32 and 128 begin and end. */
const counts = [0, 1, 3, 31, 33, 127, 1025];

const isFloat = (type: WeightType): boolean => type === "F32" || type === "F16" || type === "BF16";

/** Input widths that are whole blocks, several and odd numbers of them. */
const columnsOf = (type: WeightType): ReadonlyArray<number> =>
  isFloat(type) ? [33, 64, 80, 576] : type.endsWith("_K") ? [256, 768] : [32, 96, 576];

/** Weights whose numbers a backend multiplies as they are must give f32 accuracy; see the tolerance of `matmul`. */
const floatNmse = 1e-10;

export const embedCases = (seed: number): ReadonlyArray<Case> =>
  weightTypes.flatMap((type) =>
    columnsOf(type).flatMap((dim, i) => {
      const random = randomOf(`embed ${type} ${dim}`, seed);
      const [vocab, m] = [37, [0, 1, 3, 33][(i + type.length) % 4] ?? 1];
      const table = weightOf(random, type, vocab, dim, { name: "table", uses: ["embed"] });
      const ids = Uint32Array.from({ length: m }, (_, t) => t === 0 ? vocab - 1 : random.integer(vocab));
      const scale = i === 0 ? 1 : 2.5;
      return [
        caseOf(`${type} [${vocab}, ${dim}] m ${m} scale ${scale}`, { op: "embed", params: { m, dim, scale } }, {
          table,
          ids: input(ids),
          out: output("embed", m * dim),
        }),
      ];
    })
  );

export const normCases = (seed: number): ReadonlyArray<Case> =>
  [[0, 4], [1, 4], [3, 32], [31, 64], [33, 80], [127, 128], [2, 576], [1, 1025]].flatMap(([rows = 0, dim = 0]) => {
    const random = randomOf(`norm ${rows} ${dim}`, seed);
    const weight = weightOf(random, "F32", 1, dim, { uses: ["vector"] });
    const call = { op: "norm", params: { rows, dim, eps: 1e-5 } } as const;
    const x = updated("norm", random.normals(rows * dim, 3));
    const faint = input(random.normals(rows * dim, 1e-4));
    return [
      caseOf(`${rows} rows of ${dim}`, call, { x: input(random.normals(rows * dim)), weight, out: output("norm", rows * dim) }),
      caseOf(`${rows} rows of ${dim} fainter than eps`, call, { x: faint, weight, out: output("norm", rows * dim) }),
      caseOf(`${rows} rows of ${dim} in place`, call, { x, weight, out: x }),
    ];
  });

/** Below this many results their energy is left to chance: one that happens to cancel would make any error look large. */
const fewResults = 32;

/** `x` with the signs of the weight row of most energy, so that the product that carries the results' energy does not cancel. */
function alignedWith({ type, bytes, rows, cols }: WeightSource, x: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const numbers = decodeBlocks(type, bytes, rows * cols);
  const all = Array.from({ length: rows }, (_, j) => numbers.subarray(j * cols, (j + 1) * cols));
  const energies = all.map((row) => row.reduce((sum, w) => sum + w * w, 0));
  const strongest = all[energies.indexOf(Math.max(...energies))];
  return x.map((value, i) => (strongest?.[i % cols] ?? 0) < 0 ? -Math.abs(value) : Math.abs(value));
}

const matmulCase = (seed: number, type: WeightType, m: number, n: number, k: number, variant: number): Case => {
  const [accumulate, biased, spread] = [variant % 2 === 1, variant % 3 === 1, variant % 4 === 3 ? "extreme" : "even"] as const;
  const label = `${type} ${m} x ${n} x ${k}${accumulate ? " accumulate" : ""}${biased ? " bias" : ""}${
    spread === "extreme" ? " extreme scales" : ""
  }`;
  const random = randomOf(label, seed);
  const weight = weightOf(random, type, n, k, { spread });
  const bias = biased ? { bias: weightOf(random, "F32", 1, n, { name: "bias", uses: ["vector"] }) } : {};
  const out = accumulate ? updated("matmul", random.normals(m * n)) : output("matmul", m * n);
  const x = random.normals(m * k);
  return caseOf(label, { op: "matmul", params: { m, n, k, accumulate } }, {
    x: input(spread === "extreme" || m * n < fewResults ? alignedWith(weight, x) : x),
    weight,
    ...bias,
    out: isFloat(type) ? withNmse(floatNmse)(out) : out,
  });
};

export const matmulCases = (seed: number): ReadonlyArray<Case> =>
  weightTypes.flatMap((type) => {
    const columns = columnsOf(type);
    const perM = [0, 1, 2, 3, 5, 33].flatMap((m, i) =>
      [1, 37, 65].map((n, j) => matmulCase(seed, type, m, n, columns[(i + j) % columns.length] ?? 256, i + 2 * j))
    );
    return [
      ...perM,
      ...[0, 1, 2, 3].map((variant) => matmulCase(seed, type, [1, 4, 7, 16][variant] ?? 1, 64, columns.at(-1) ?? 256, variant)),
    ];
  });

export const argmaxCases = (seed: number): ReadonlyArray<Case> =>
  [1, 3, 31, 33, 127, 1025].flatMap((n) =>
    [0, 1, 3].flatMap((m) => {
      const random = randomOf(`argmax ${m} ${n}`, seed);
      const call = { op: "argmax", params: { m, n } } as const;
      const odd = [NaN, -0, 0, -Infinity, Infinity, 1];
      const once = (value: number): Float32Array<ArrayBuffer> => {
        const numbers = random.normals(m * n);
        if (m * n > 0) numbers[random.integer(m * n)] = value;
        return numbers;
      };
      const rows: Readonly<Record<string, Float32Array<ArrayBuffer>>> = {
        "normal numbers": random.normals(m * n),
        "few values, many ties": Float32Array.from({ length: m * n }, () => random.integer(3) - 2),
        "one NaN": once(NaN),
        "one +Infinity": once(Infinity),
        "-Infinity and both zeros": Float32Array.from({ length: m * n }, () => [-0, 0, -Infinity][random.integer(3)] ?? 0),
        "NaN, infinities and both zeros": Float32Array.from({ length: m * n }, () => odd[random.integer(odd.length)] ?? 0),
        "nothing but -Infinity and NaN": Float32Array.from({ length: m * n }, () => random.integer(2) === 0 ? NaN : -Infinity),
      };
      return Object.entries(rows).map(([label, x]) => caseOf(`${m} x ${n}, ${label}`, call, { x: input(x), out: output("argmax", m) }));
    })
  );

export const ropeCases = (seed: number): ReadonlyArray<Case> =>
  [0, 1, 3, 33].flatMap((m) =>
    ([[1, 4, 4], [3, 32, 32], [9, 64, 64], [2, 80, 32], [5, 128, 128], [1, 64, 2]] as const).map(([heads, dim, dims]) => {
      const random = randomOf(`rope ${m} ${heads} ${dim} ${dims}`, seed);
      const table = new Float32Array(m * dims);
      for (let i = 0; i < m * dims / 2; i++) {
        const [angle, row, pair] = [random.uniform() * 7, Math.floor(i / (dims / 2)), i % (dims / 2)];
        table[row * dims + pair] = Math.cos(angle);
        table[row * dims + dims / 2 + pair] = Math.sin(angle);
      }
      return caseOf(`${m} tokens of ${heads} heads, ${dims} of ${dim} channels`, { op: "rope", params: { m, heads, dim, dims } }, {
        x: updated("rope", random.normals(m * heads * dim)),
        table: input(table),
      });
    })
  );

export const gluCases = (seed: number): ReadonlyArray<Case> =>
  counts.flatMap((count) =>
    (["silu", "gelu"] as const).flatMap((activation) => {
      const random = randomOf(`glu ${count} ${activation}`, seed);
      const call = { op: "glu", params: { count, activation } } as const;
      const gate = updated("glu", random.normals(count, 3));
      const far = Float32Array.from({ length: count }, (_, i) => [-1000, -88, -20, -0, 0, 1e-20, 20, 88][i % 8] ?? 0);
      return [
        caseOf(`${activation} of ${count}`, call, {
          gate: input(random.normals(count, 3)),
          up: input(random.normals(count)),
          out: output("glu", count),
        }),
        caseOf(`${activation} of ${count} in place`, call, { gate, up: input(random.normals(count)), out: gate }),
        caseOf(`${activation} of ${count} far from 0`, call, {
          gate: input(far),
          up: input(random.normals(count)),
          out: output("glu", count),
        }),
        // Alone, the tail where an activation is nearly 0 shows the relative error that larger values would hide.
        caseOf(`${activation} of ${count} from -12 to -3`, call, {
          gate: input(Float32Array.from({ length: count }, (_, i) => -12 + 9 * (i % 32) / 31)),
          up: input(random.normals(count)),
          out: output("glu", count),
        }),
        caseOf(`${activation} of ${count} from -12 to 12`, call, {
          gate: input(Float32Array.from({ length: count }, (_, i) => -12 + 24 * (i % 64) / 63)),
          up: input(random.normals(count)),
          out: output("glu", count),
        }),
      ];
    })
  );

const binary: ReadonlySet<MapFn> = new Set(["add", "sub", "mul", "div", "max", "min"]);

/** Numbers away from 0, so that quotients stay near 1 and one of them cannot carry all the energy. */
const awayFromZero = (numbers: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => numbers.map((x) => x < 0 ? x - 0.5 : x + 0.5);

export const mapCases = (seed: number): ReadonlyArray<Case> => mapFns.flatMap((fn) => [...flatMaps(seed, fn), ...columnMaps(seed, fn)]);

const flatMaps = (seed: number, fn: MapFn): ReadonlyArray<Case> =>
  counts.flatMap((count) => {
    const random = randomOf(`map ${fn} ${count}`, seed);
    const call = { op: "map", params: { fn, count, value: -1.75, heads: 0 } } as const;
    const b = binary.has(fn) ? { b: input(awayFromZero(random.normals(count))) } : {};
    const a = updated("map", random.normals(count, 2));
    return [
      caseOf(`${fn} of ${count}`, call, { a: input(random.normals(count, 4)), ...b, out: output("map", count) }),
      caseOf(`${fn} of ${count} in place`, call, { a, ...b, out: a }),
    ];
  });

const columnMaps = (seed: number, fn: MapFn): ReadonlyArray<Case> =>
  lengthsToTry.map((lengths) => {
    const random = randomOf(`map column ${fn} ${lengths}`, seed);
    const layout = layoutOf(random, lengths, 2);
    const call = { op: "map", params: { fn, count: layout.slots, value: 0.3, heads: lengths.length } } as const;
    const column = (): Float32Array<ArrayBuffer> => columnOf(layout, () => 1 + random.uniform());
    return caseOf(`${fn} of a column, ${layout.label}`, call, {
      a: input(column()),
      ...(binary.has(fn) ? { b: input(column()) } : {}),
      layout: input(layoutWords(layout)),
      out: outputIn("map", layout.slots, rowRanges(layout, 4)),
    });
  });
