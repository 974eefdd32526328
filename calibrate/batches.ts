/**
 * A layer's training pairs where a backend multiplies them: data are the weights of `matmul`, parameters are what is bound, because
 * data stay and parameters change.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Backend, Prepared, Weight } from "../backends/backend.ts";
import { NONE, type Program } from "../backends/program.ts";
import type { Buffer } from "../cache/types.ts";
import type { KvError } from "../cache/error.ts";
import { bytesIn } from "../run/scratch.ts";

/** Pairs per batch. */
export const BATCH = 512;

/** Rows [from, to) of the data, as two weights. */
export interface Batch {
  readonly from: number;
  readonly to: number;
  /** [count, width] */
  readonly rows: Weight;
  /** [width, count] */
  readonly columns: Weight;
  /** What `columns` was loaded from. */
  readonly turned: Float32Array;
}

/** Data of `width` numbers per row, resident in a backend. */
export interface Batches {
  readonly backend: Backend;
  readonly width: number;
  readonly batches: ReadonlyArray<Batch>;
}

/** Loads x f32 [count, width]; whoever loads must {@link freeBatches}. */
export function loadBatches(backend: Backend, x: Float32Array, width: number): E.Either<KvError, Batches> {
  const batches: Batch[] = [];
  const count = x.length / width;
  for (let from = 0; from < count; from += BATCH) {
    const to = Math.min(count, from + BATCH);
    const part = x.subarray(from * width, to * width);
    const load = (name: string, rows: number, cols: number, numbers: Float32Array): E.Either<KvError, Weight> =>
      backend.loadWeight({ name, type: "F32", rows, cols, bytes: bytesIn(numbers), uses: ["matmul"] })();
    const rows = load("rows", to - from, width, part);
    const turned = transposed(part, width);
    const columns = E.isLeft(rows) ? rows : load("columns", width, to - from, turned);
    if (E.isLeft(rows) || E.isLeft(columns)) {
      if (E.isRight(rows)) backend.freeWeight(rows.right)();
      freeBatches({ backend, width, batches });
      return E.isLeft(rows) ? rows : columns as E.Left<KvError>;
    }
    batches.push({ from, to, rows: rows.right, columns: columns.right, turned });
  }
  return E.right({ backend, width, batches });
}

/** Frees what {@link loadBatches} loaded. */
export function freeBatches({ backend, batches }: Batches): void {
  for (const { rows, columns } of batches) {
    backend.freeWeight(rows)();
    backend.freeWeight(columns)();
  }
}

/** a [rows, width] as [width, rows]. */
export function transposed(a: Float32Array, width: number): Float32Array {
  const rows = a.length / width;
  const out = new Float32Array(a.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) out[c * rows + r] = a[r * width + c] ?? 0;
  return out;
}

/** Products with one batch: its programs, and room for operands of `m` rows. */
export interface Multiplier {
  /** a [m, width] times the batch transposed: [m, count]. */
  readonly forward: (a: Float32Array) => Promise<E.Either<KvError, Float32Array>>;
  /** a [m, count] times the batch: [m, width]. */
  readonly backward: (a: Float32Array) => Promise<E.Either<KvError, Float32Array>>;
  /** Releases programs and memory. */
  readonly close: () => void;
}

const product = (m: number, n: number, k: number): Program => ({
  label: `product ${m} ${n} ${k}`,
  values: [{ _tag: "Bound", name: "a" }, { _tag: "Weight", name: "w" }, { _tag: "Bound", name: "out" }],
  body: [{ op: "matmul", args: [0, 1, NONE, 2], params: { m, n, k, accumulate: false } }],
});

/** Makes products of `m` rows with a batch ready. */
export async function multiplier(
  { backend, width }: Batches,
  { from, to, rows, columns }: Batch,
  m: number,
): Promise<E.Either<KvError, Multiplier>> {
  const count = to - from;
  const held: { readonly buffers: Buffer[]; readonly programs: Prepared[] } = { buffers: [], programs: [] };
  const close = (): void => {
    held.programs.forEach((program) => backend.release(program)());
    held.buffers.forEach((buffer) => backend.free(buffer)());
  };
  const ready = async (w: Weight, n: number, k: number): Promise<E.Either<KvError, Multiplier["forward"]>> => {
    const program = await backend.prepare(product(m, n, k), { w })();
    if (E.isLeft(program)) return program;
    held.programs.push(program.right);
    const [a, out] = [backend.alloc(m * k * 4, "operand")(), backend.alloc(m * n * 4, "product")()];
    if (E.isLeft(a) || E.isLeft(out)) return E.isLeft(a) ? a : out as E.Left<KvError>;
    held.buffers.push(a.right, out.right);
    return E.right(async (numbers) => {
      const wrote = backend.write(a.right, 0, bytesIn(numbers))();
      if (E.isLeft(wrote)) return wrote;
      const ran = backend.run(program.right, { a: { buffer: a.right }, out: { buffer: out.right } })();
      if (E.isLeft(ran)) return ran;
      const read = await backend.read(out.right, 0, m * n * 4)();
      return E.map((bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, m * n))(read);
    });
  };
  const forward = await ready(rows, count, width);
  const backward = await ready(columns, width, count);
  if (E.isRight(forward) && E.isRight(backward)) return E.right({ forward: forward.right, backward: backward.right, close });
  close();
  return E.isLeft(forward) ? forward : backward as E.Left<KvError>;
}

/** x^T x of one batch, f32 [width, width], added to `sum`. */
export async function addSquares(data: Batches, batch: Batch, sum: Float64Array): Promise<E.Either<KvError, void>> {
  const made = await multiplier(data, batch, data.width);
  if (E.isLeft(made)) return made;
  const part = await made.right.backward(batch.turned);
  made.right.close();
  if (E.isLeft(part)) return part;
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (part.right[i] ?? 0);
  return E.right(undefined);
}
