/**
 * Pruned sequences as a host's tensors: heads of different lengths side by side, padded in front.
 * @module
 */
import type { PastKeyValues, PastTensor, PrunedPast } from "./past.ts";
import { keyName, type PastPair, type PastSequences, valueName } from "./past_split.ts";
import type { HeadRows, ReadRows } from "./read.ts";

/** Puts a batch together again; tensors that are no pair of it go through as they are. */
export function packSequences(past: PastKeyValues, { pairs }: PastSequences, pruned: ReadonlyArray<ReadRows>): PrunedPast {
  const headsAt = (b: number, l: number): ReadonlyArray<HeadRows> => pruned[b]?.layers[l] ?? [];
  const kept = Math.max(0, ...pruned.flatMap(({ layers }) => layers.flat().map(({ positions }) => positions.length)));
  const packed = pairs.flatMap(({ layer, key, value }, l) => {
    const heads = pruned.map((_, b) => headsAt(b, l));
    return [
      [keyName(layer), pack(key, heads, kept, (rows) => rows.keys)] as const,
      [valueName(layer), pack(value, heads, kept, (rows) => rows.values)] as const,
    ];
  });
  return {
    tensors: { ...past, ...Object.fromEntries(packed) },
    headMasks: Object.fromEntries(pairs.map((pair, l) => [pair.layer, headMask(pair, pruned.map((_, b) => headsAt(b, l)), kept)])),
    kept,
    positions: pruned.map(({ layers }) => layers.map((heads) => heads.map(({ positions }) => positions))),
    nextPositions: pruned.map(({ nextPosition }) => nextPosition),
  };
}

/** [batch, kvHeads, kept, dim] in the number type of the tensor it stands for. */
function pack(
  like: PastTensor,
  sequences: ReadonlyArray<ReadonlyArray<HeadRows>>,
  kept: number,
  of: (rows: HeadRows) => Float32Array,
): PastTensor {
  const [batch = 0, heads = 0, , dim = 0] = like.dims;
  const length = batch * heads * kept * dim;
  const data = like.data instanceof Float32Array ? new Float32Array(length) : new Float16Array(length);
  sequences.flat().forEach((rows, i) => data.set(of(rows), ((i + 1) * kept - rows.positions.length) * dim));
  return { dims: [batch, heads, kept, dim], data };
}

function headMask({ key }: PastPair, sequences: ReadonlyArray<ReadonlyArray<HeadRows>>, kept: number): PrunedPast["headMasks"][string] {
  const [batch = 0, heads = 0] = key.dims;
  const data = new Uint8Array(batch * heads * kept);
  sequences.flat().forEach(({ positions }, i) => data.fill(1, (i + 1) * kept - positions.length, (i + 1) * kept));
  return { dims: [batch, heads, kept], data };
}
