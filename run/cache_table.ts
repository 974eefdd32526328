/**
 * What a saved cache says about itself before any of its rows: layers, tiers, codecs, lengths. The size of every part of the file follows
 * from it, so a claim is checked against bytes that are there before memory is asked for.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { blockRows, codecFault, codecName, codecOf, rowBytes, type RowCodec, rowCodecs } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { KvCache } from "../cache/types.ts";
import { pageBytes } from "../cache/view.ts";
import { type Decoder, flag, list, nullable, number, string, struct, tagged, word } from "../policy/decode.ts";

/** A tier: rows per KV head under a pair of codecs. */
export interface TierTable {
  /** Codec of the keys. */
  readonly keys: RowCodec;
  /** Codec of the values. */
  readonly values: RowCodec;
  /** Rows of each KV head. */
  readonly lengths: ReadonlyArray<number>;
  /** Names of the columns that its rows carry. */
  readonly columns: ReadonlyArray<string>;
  /** Rows per page with bounds, or slots per centroid; 0 for none. */
  readonly pages: number;
  /** The column of cluster numbers, where centroids are held and not bounds. */
  readonly labels: string | null;
  /** Whether it takes no more rows. */
  readonly frozen: boolean;
}

/** A layer. */
export type LayerTable =
  | { readonly _tag: "Alias"; readonly layer: number }
  | { readonly _tag: "Own"; readonly tiers: ReadonlyArray<TierTable>; readonly recent: number };

/** A cache without its rows. */
export interface CacheTable {
  /** Tokens seen. */
  readonly nextPosition: number;
  /** Every layer. */
  readonly layers: ReadonlyArray<LayerTable>;
}

/** The table of a settled cache. */
export const tableOf = ({ nextPosition, layers }: KvCache): CacheTable => ({
  nextPosition,
  layers: layers.map((layer): LayerTable =>
    layer._tag === "Alias" ? { _tag: "Alias", layer: layer.layer } : {
      _tag: "Own",
      tiers: layer.tiers.map(({ keyCodec, valueCodec, segments, storage, frozen }) => ({
        keys: codecName(keyCodec),
        values: codecName(valueCodec),
        lengths: segments.map(({ length }) => length),
        columns: Object.keys(storage.columns),
        pages: storage.pages?.rows ?? 0,
        labels: storage.pages?.labels ?? null,
        frozen,
      })),
      recent: layer.recent?.window ?? 0,
    }
  ),
});

/** Reads a table out of JSON; {@link checkTable} says whether it fits a model. */
export const cacheTable: Decoder<CacheTable> = struct<CacheTable>({
  nextPosition: number,
  layers: list(
    tagged<LayerTable>({
      Alias: struct({ _tag: word("Alias"), layer: number }),
      Own: struct({
        _tag: word("Own"),
        tiers: list(
          struct<TierTable>({
            keys: word(...rowCodecs),
            values: word(...rowCodecs),
            lengths: list(number, 4096),
            columns: list(string(200), 64),
            pages: number,
            labels: nullable(string(200)),
            frozen: flag,
          }),
          4096,
        ),
        recent: number,
      }),
    }),
    4096,
  ),
});

/** Right if a model of this shape can have such a cache. */
export function checkTable(file: string, table: CacheTable, { layers }: Pick<ModelShape, "layers">): E.Either<KvError, void> {
  const faults = [
    ...whole(table.nextPosition, 0, 2 ** 32 - 2) ? [] : [["nextPosition", String(table.nextPosition), "a whole number of tokens"] as const],
    ...table.layers.length === layers.length ? [] : [["layers", String(table.layers.length), `the model's ${layers.length}`] as const],
    ...table.layers.flatMap((layer, l) => {
      const shape = layers[l];
      if (shape === undefined) return [];
      return layer._tag === "Own" ? ownFaults(layer, table.nextPosition, shape, `layer ${l}`) : aliasFaults(table, layer.layer, layers, l);
    }),
  ];
  const first = faults[0];
  if (first === undefined) return E.right(undefined);
  const [at, found, allowed] = first;
  return E.left({ _tag: "InvalidFile", file, at, found, allowed });
}

type Fault = readonly [at: string, found: string, allowed: string];

const whole = (n: number, from: number, to: number): boolean => Number.isSafeInteger(n) && n >= from && n <= to;

function aliasFaults(table: CacheTable, from: number, shapes: ReadonlyArray<LayerShape>, l: number): ReadonlyArray<Fault> {
  const [source, own] = [shapes[from], shapes[l]];
  const fits = table.layers[from]?._tag === "Own" && from < l && source !== undefined && own !== undefined &&
    source.kvHeads === own.kvHeads && source.keyDim === own.keyDim && source.valueDim === own.valueDim;
  return fits ? [] : [[`layer ${l}`, `a share in layer ${from}`, "an earlier layer with rows of the same geometry"]];
}

function ownFaults(
  { tiers, recent }: Extract<LayerTable, { readonly _tag: "Own" }>,
  nextPosition: number,
  shape: LayerShape,
  at: string,
): ReadonlyArray<Fault> {
  const last = tiers.length - 1;
  // Over all tiers: positions in a head differ, so that no sound file has more, and nothing larger is ever allocated.
  const ofHead = Array.from({ length: shape.kvHeads }, (_, h) => tiers.reduce((sum, { lengths }) => sum + (lengths[h] ?? 0), 0));
  return [
    ...tiers.length > 0 ? [] : [[at, "no tier", "one tier at least"] as const],
    ...ofHead.every((n) => n <= nextPosition) ? [] : [[at, "more rows than tokens", `at most ${nextPosition} a head`] as const],
    ...whole(recent, 0, 65536) ? [] : [[`${at} recent`, String(recent), "a whole number of queries"] as const],
    ...tiers.flatMap((tier, i): ReadonlyArray<Fault> => {
      const where = `${at} tier ${i}`;
      const [keys, values] = [codecOf(tier.keys), codecOf(tier.values)];
      const block = Math.max(blockRows(keys), blockRows(values));
      const unfit = codecFault(keys, shape.keyDim) ?? codecFault(values, shape.valueDim);
      const bad = tier.lengths.find((n) => !whole(n, 0, 2 ** 31) || n % block !== 0);
      return [
        ...unfit === null ? [] : [[where, `${tier.keys}/${tier.values} rows of ${shape.keyDim} channels`, unfit] as const],
        ...tier.lengths.length === shape.kvHeads ? [] : [[where, `${tier.lengths.length} heads`, `the model's ${shape.kvHeads}`] as const],
        ...bad === undefined ? [] : [[where, `${bad} rows`, `a whole number of rows${block > 1 ? ` in blocks of ${block}` : ""}`] as const],
        ...new Set(tier.columns).size === tier.columns.length ? [] : [[where, "a column twice", "each column once"] as const],
        ...whole(tier.pages, 0, 65536) ? [] : [[where, `pages of ${tier.pages} rows`, "a whole number"] as const],
        ...tier.labels === null || tier.columns.includes(tier.labels)
          ? []
          : [[where, `clusters by ${tier.labels}`, "one of its columns"] as const],
        ...i === last - 1 || tier.frozen === (i < last) ? [] : [[where, "a tier out of order", "frozen tiers before open ones"] as const],
      ];
    }),
  ];
}

/** Bytes of the parts of one tier: positions, keys, values, columns, bounds of pages. */
export function tierParts(tier: TierTable, shape: LayerShape): ReadonlyArray<number> {
  const rows = tier.lengths.reduce((sum, n) => sum + n, 0);
  const bounds = pageBytes(codecOf(tier.keys), shape.keyDim, tier.pages);
  return [
    rows * 4,
    rows * rowBytes(codecOf(tier.keys), shape.keyDim),
    rows * rowBytes(codecOf(tier.values), shape.valueDim),
    ...tier.columns.map(() => rows * 4),
    ...bounds === 0 ? [] : [rows * bounds],
  ];
}

/** Bytes of the parts of a ring of recent queries, or none. */
export const ringParts = (window: number, shape: LayerShape): ReadonlyArray<number> =>
  window === 0 ? [] : [window * shape.queryHeads * shape.keyDim * 4, window * shape.queryHeads * 4, window * 4];

/** A tier of a saved cache. */
export interface TierView {
  /** Its layer. */
  readonly layer: number;
  /** Geometry of the layer. */
  readonly shape: LayerShape;
  /** What it says about itself. */
  readonly table: TierTable;
  /** Bytes that its parts have: positions, keys, values, columns, bounds of pages. */
  readonly sizes: ReadonlyArray<number>;
  /** Its parts, where they are there. */
  readonly parts: ReadonlyArray<Uint8Array>;
}

/** The tiers and rings of a saved cache, and its parts again in the order of the file: layer by layer its tiers, then its ring. */
export function tiersIn({ layers }: CacheTable, shape: Pick<ModelShape, "layers">, parts: ReadonlyArray<Uint8Array>) {
  const tiers: TierView[] = [];
  const rings: Uint8Array[] = [];
  const ringSizes: number[] = [];
  const order: ("tier" | "ring")[] = [];
  let at = 0;
  for (const [l, layer] of layers.entries()) {
    const own = shape.layers[l];
    if (layer._tag === "Alias" || own === undefined) continue;
    for (const table of layer.tiers) {
      const sizes = tierParts(table, own);
      tiers.push({ layer: l, shape: own, table, sizes, parts: parts.slice(at, at += sizes.length) });
      order.push("tier");
    }
    for (const size of ringParts(layer.recent, own)) {
      rings.push(parts[at++] ?? new Uint8Array());
      ringSizes.push(size);
      order.push("ring");
    }
  }
  const inOrder = <A>(ofTiers: ReadonlyArray<ReadonlyArray<A>>, ofRings: ReadonlyArray<A>): ReadonlyArray<A> => {
    let [t, r] = [0, 0];
    return order.flatMap((kind) => kind === "tier" ? ofTiers[t++] ?? [] : ofRings.slice(r, ++r));
  };
  return { tiers, rings, ringSizes, inOrder, sizes: inOrder(tiers.map(({ sizes }) => sizes), ringSizes) };
}
