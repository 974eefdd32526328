/**
 * Build blocks: how each layer stores rows and whose rows it reads.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { blockRows, codecFault, codecName, codecOf } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Codec } from "../cache/types.ts";
import type { Policy, Verb } from "../policy/types.ts";
import { invalid, resolveLayers, unsupported } from "./resolve.ts";
import type { Target } from "./types.ts";

/** Storage of one layer as its Build blocks say. */
export interface LayerStorage {
  readonly keyCodec: Codec;
  readonly valueCodec: Codec;
  readonly readsFrom: number;
}

/** Storage of every layer: later blocks override earlier ones. */
export function buildStorage(policy: Policy, target: Target): E.Either<KvError, ReadonlyArray<LayerStorage>> {
  let storage: ReadonlyArray<LayerStorage> = target.shape.layers.map((_, l) => ({
    keyCodec: target.codec,
    valueCodec: target.codec,
    readsFrom: l,
  }));
  for (const [b, block] of policy.blocks.entries()) {
    if (block.moment._tag !== "Build") continue;
    const touched = resolveLayers(block.layers, storage.length, `blocks[${b}]`);
    if (E.isLeft(touched)) return touched;
    for (const [v, verb] of block.verbs.entries()) {
      const next = applyVerb(verb, storage, touched.right, target, `blocks[${b}].verbs[${v}]`);
      if (E.isLeft(next)) return next;
      storage = next.right;
    }
  }
  const wrong = storage.map((layer, l) => storageError(layer, l, target)).find(E.isLeft);
  return wrong ?? checkOwners(storage);
}

/** Rows are appended one by one, so they must stand alone, and their codec must fit the heads. */
function storageError({ keyCodec, valueCodec }: LayerStorage, l: number, { shape }: Target): E.Either<KvError, void> {
  const layer = shape.layers[l];
  for (const [what, codec, dim] of [["keys", keyCodec, layer?.keyDim ?? 0], ["values", valueCodec, layer?.valueDim ?? 0]] as const) {
    const wrong = codecError(`layers[${l}].${what}`, codec, dim);
    if (E.isLeft(wrong)) return wrong;
    if (blockRows(codec) > 1) {
      return invalid(`layers[${l}].${what}`, codecName(codec), "a codec of rows that stand alone; rows pass into blocks when they get old");
    }
  }
  return E.right(undefined);
}

/** Left if rows of `dim` channels cannot be stored so. */
export function codecError(path: string, codec: Codec, dim: number): E.Either<KvError, void> {
  const fault = codecFault(codec, dim);
  return fault === null ? E.right(undefined) : invalid(path, `${codecName(codec)} for ${dim} channels`, fault);
}

function applyVerb(
  verb: Verb,
  storage: ReadonlyArray<LayerStorage>,
  touched: ReadonlyArray<number>,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<LayerStorage>> {
  const change = (f: (layer: LayerStorage) => LayerStorage) => storage.map((layer, l) => touched.includes(l) ? f(layer) : layer);
  switch (verb._tag) {
    case "Encode":
      return E.right(change((layer) => ({
        ...layer,
        keyCodec: codecOf(verb.keys),
        valueCodec: codecOf(verb.values),
      })));
    case "Share": {
      const wrong = touched.map((l) => shareError(l, verb.from, target, path)).find(E.isLeft);
      return wrong ?? E.right(change((layer) => ({ ...layer, readsFrom: verb.from })));
    }
    default:
      return unsupported(
        `${verb._tag} at the moment Build`,
        path,
        "there are no rows when the cache is built; only Encode and Share act then",
      );
  }
}

function shareError(layer: number, from: number, { shape: { layers } }: Target, path: string): E.Either<KvError, void> {
  const [reader, owner] = [layers[layer], layers[from]];
  if (reader === undefined || owner === undefined || from >= layer) {
    return invalid(`${path}.from`, from, `a layer before layer ${layer}, which is to read its rows`);
  }
  const geometry = (l: typeof reader): string => `${l.kvHeads} heads of ${l.keyDim} + ${l.valueDim}`;
  return geometry(reader) === geometry(owner)
    ? E.right(undefined)
    : invalid(`${path}.from`, `${from} with ${geometry(owner)}`, `a layer of the same geometry as layer ${layer}, ${geometry(reader)}`);
}

function checkOwners(storage: ReadonlyArray<LayerStorage>): E.Either<KvError, ReadonlyArray<LayerStorage>> {
  const chained = storage.findIndex((layer) => storage[layer.readsFrom]?.readsFrom !== layer.readsFrom);
  const via = storage[chained]?.readsFrom;
  return via === undefined ? E.right(storage) : invalid(
    `layers[${chained}].readsFrom`,
    via,
    `a layer that keeps rows of its own; layer ${via} reads those of layer ${storage[via]?.readsFrom}`,
  );
}
