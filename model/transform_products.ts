/**
 * The products of a transform on a backend, tile by tile: rows times components, and coefficients times components.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type * as TE from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { NONE, type Program } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";
import { bytesIn } from "../run/scratch.ts";

/** Tokens per product. */
export const TILE = 512;

/** x f32 [TILE, k] to f32 [TILE, n]; the result is read before the next call. */
export type Product = (x: Float32Array) => TE.TaskEither<KvError, Float32Array>;

/** Uses a product with a matrix of f16 bits [n, k]; whatever it holds is freed afterwards. */
export const withProduct = <A>(
  backend: Backend,
  matrix: Uint16Array,
  n: number,
  k: number,
  use: (product: Product) => TE.TaskEither<KvError, A>,
): TE.TaskEither<KvError, A> =>
async () => {
  const bytes = new Uint8Array(matrix.buffer, matrix.byteOffset, n * k * 2);
  const weight = backend.loadWeight({ name: "components", type: "F16", rows: n, cols: k, bytes, uses: ["matmul"] })();
  if (E.isLeft(weight)) return weight;
  const prepared = await backend.prepare(productOf(n, k), { components: weight.right })();
  const [x, out] = [backend.alloc(TILE * k * 4, "tokens")(), backend.alloc(TILE * n * 4, "products")()];
  const ready = E.isRight(prepared) && E.isRight(x) && E.isRight(out) ? { program: prepared.right, x: x.right, out: out.right } : null;
  const failure = [prepared, x, out].find(E.isLeft);
  const result = ready === null
    ? failure ?? E.left<KvError>({ _tag: "Unavailable", what: "a product", because: "it was not prepared" })
    : await use(
      (numbers) => async () => {
        const wrote = backend.write(ready.x, 0, bytesIn(numbers))();
        if (E.isLeft(wrote)) return wrote;
        const ran = backend.run(ready.program, { x: { buffer: ready.x }, out: { buffer: ready.out } })();
        if (E.isLeft(ran)) return ran;
        const read = await backend.read(ready.out, 0, TILE * n * 4)();
        return E.map((got: Uint8Array) => new Float32Array(got.buffer, got.byteOffset, TILE * n))(read);
      },
    )();
  if (E.isRight(prepared)) backend.release(prepared.right)();
  for (const buffer of [x, out]) if (E.isRight(buffer)) backend.free(buffer.right)();
  backend.freeWeight(weight.right)();
  return result;
};

const productOf = (n: number, k: number): Program => ({
  label: `transform ${n} ${k}`,
  values: [{ _tag: "Bound", name: "x" }, { _tag: "Weight", name: "components" }, { _tag: "Bound", name: "out" }],
  body: [{ op: "matmul", args: [0, 1, NONE, 2], params: { m: TILE, n, k, accumulate: false } }],
});

/** A matrix [rows, cols] as [cols, rows]. */
export function turned(a: Uint16Array, rows: number, cols: number): Uint16Array {
  const out = new Uint16Array(rows * cols);
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) out[c * rows + r] = a[r * cols + c] ?? 0;
  return out;
}
