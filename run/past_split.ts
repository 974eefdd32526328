/**
 * A host's tensors as dense rows of single sequences, every shape checked.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Dense, DenseRows } from "./dense.ts";
import type { PastKeyValues, PastOptions, PastTensor } from "./past.ts";

/** One layer's tensors and where they came from. */
export interface PastPair {
  /** The layer's number in the tensor names. */
  readonly layer: string;
  readonly key: PastTensor;
  readonly value: PastTensor;
}

/** A batch taken apart. */
export interface PastSequences {
  /** In order of their numbers, which need not be consecutive. */
  readonly pairs: ReadonlyArray<PastPair>;
  /** One per sequence, padding left out. */
  readonly sequences: ReadonlyArray<Dense>;
  /** Rows are f16. */
  readonly half: boolean;
}

/** Names of the two tensors of a layer. */
export const keyName = (layer: string): string => `past_key_values.${layer}.key`;
export const valueName = (layer: string): string => `past_key_values.${layer}.value`;

/** Takes a batch apart. */
export function splitSequences(past: PastKeyValues, options: PastOptions): E.Either<KvError, PastSequences> {
  const layers = Object.keys(past).flatMap((name) => /^past_key_values\.(\d{1,6})\.key$/.exec(name)?.[1] ?? []);
  const pairs: PastPair[] = [];
  for (const layer of layers.sort((a, b) => Number(a) - Number(b))) {
    const [key, value] = [past[keyName(layer)], past[valueName(layer)]];
    if (key === undefined || value === undefined) return mismatch(valueName(layer), "a tensor", "none");
    pairs.push({ layer, key, value });
  }
  const first = pairs[0];
  if (first === undefined) return mismatch("past_key_values", "at least one pair past_key_values.{layer}.key and .value", "none");
  const wrong = pairs.map((pair) => checkPair(pair, first.key)).find(E.isLeft) ?? checkHeads(pairs, options.queryHeads);
  if (E.isLeft(wrong)) return wrong;
  const [batch = 0, , length = 0] = first.key.dims;
  const tokens = tokensOf(options.attentionMask, batch, length);
  if (E.isLeft(tokens)) return tokens;
  const shape = { layers: pairs.map((pair) => shapeOf(pair, options.queryHeads)) };
  const sequences = tokens.right.map((at, b): Dense => ({ shape, layers: pairs.map((pair) => rowsOf(pair, b, at)) }));
  return E.right({
    pairs,
    sequences,
    half: pairs.every(({ key, value }) => !(key.data instanceof Float32Array || value.data instanceof Float32Array)),
  });
}

/** Columns of the length axis that hold tokens, per sequence. */
function tokensOf(
  mask: PastOptions["attentionMask"],
  batch: number,
  length: number,
): E.Either<KvError, ReadonlyArray<ReadonlyArray<number>>> {
  if (
    mask !== undefined &&
    (mask.dims.length !== 2 || mask.dims[0] !== batch || mask.dims[1] !== length || mask.data.length !== batch * length)
  ) {
    return mismatch("attentionMask", `${batch} x ${length}`, `${mask.dims.join(" x ")} with ${mask.data.length} numbers`);
  }
  const isToken = (b: number, s: number): boolean => mask === undefined || Number(mask.data[b * length + s]) !== 0;
  const columns = Array.from({ length }, (_, s) => s);
  return E.right(Array.from({ length: batch }, (_, b) => columns.filter((s) => isToken(b, s))));
}

/** Four sizes, that many numbers, and batch and length as the first pair has them. */
function checkPair({ layer, key, value }: PastPair, first: PastTensor): E.Either<KvError, void> {
  for (const [name, { dims, data }] of [[keyName(layer), key], [valueName(layer), value]] as const) {
    const [batch, heads, length, dim] = dims;
    if (dims.length !== 4 || dims.some((d) => !Number.isSafeInteger(d) || d < 0) || heads === 0 || dim === 0) {
      return mismatch(`${name}.dims`, "batch x kvHeads x length x dim", dims.join(" x "));
    }
    if (data.length !== dims.reduce((product, d) => product * d, 1)) {
      return mismatch(name, `${dims.join(" x ")} numbers`, String(data.length));
    }
    if (batch !== first.dims[0] || length !== first.dims[2] || heads !== key.dims[1]) {
      const expected = `${first.dims[0]} x ${key.dims[1]} x ${first.dims[2]} x dim, as the other tensors`;
      return mismatch(`${name}.dims`, expected, dims.join(" x "));
    }
  }
  return E.right(undefined);
}

function checkHeads(pairs: ReadonlyArray<PastPair>, queryHeads: number | undefined): E.Either<KvError, void> {
  const odd = pairs.find(({ key }) => queryHeads !== undefined && !(queryHeads >= 1 && queryHeads % (key.dims[1] ?? 1) === 0));
  if (odd === undefined) return E.right(undefined);
  const allowed = `a multiple of the ${odd.key.dims[1]} heads of layer ${odd.layer}`;
  return E.left({ _tag: "InvalidArgument", argument: "queryHeads", value: String(queryHeads), allowed });
}

function shapeOf({ key, value }: PastPair, queryHeads: number | undefined): LayerShape {
  const [kvHeads = 1, keyDim = 1, valueDim = 1] = [key.dims[1], key.dims[3], value.dims[3]];
  const rope = { theta: 10000, dims: keyDim - keyDim % 2 };
  return { queryHeads: queryHeads ?? kvHeads, kvHeads, keyDim, valueDim, scale: 1 / Math.sqrt(keyDim), rope, window: 0 };
}

const rowsOf = ({ key, value }: PastPair, b: number, at: ReadonlyArray<number>): DenseRows => ({
  keys: pick(key, b, at),
  values: pick(value, b, at),
});

/** [kvHeads, at.length, dim] of one sequence. */
function pick({ dims, data }: PastTensor, b: number, at: ReadonlyArray<number>): Float32Array {
  const [, heads = 0, length = 0, dim = 0] = dims;
  const out = new Float32Array(heads * at.length * dim);
  for (let h = 0; h < heads; h++) {
    at.forEach((s, i) => {
      const from = ((b * heads + h) * length + s) * dim;
      out.set(data.subarray(from, from + dim), (h * at.length + i) * dim);
    });
  }
  return out;
}

const mismatch = (at: string, expected: string, actual: string): E.Either<KvError, never> =>
  E.left({ _tag: "ShapeMismatch", at, expected, actual });
