/**
 * The rows of a cache as tokens: which rows of which heads make up one token of a group of layers, tile by tile.
 * @module
 */
import type { LayerShape, ModelShape } from "../cache/shape.ts";
import type { CacheTable } from "../run/cache_table.ts";
import type { Stream, Transform } from "./transform.ts";
import { type Coding, inside, isCoded, keyBytes, type Split, valueBytes } from "./transform_split.ts";

/** Tokens per product: those of a layer, and what they become, stay in a second-level cache. */
export const TILE = 128;

/** The rows of one head in one tier. */
export interface HeadRows {
  /** Which head of the layer. */
  readonly head: number;
  /** How they are stored. */
  readonly dtype: "f16" | "f32";
  /** One after the other. */
  readonly rows: Uint8Array;
  /** The token of each row, -1 for a row that is not coded. */
  readonly tokens: Int32Array;
}

/** A layer that holds rows, or neighbouring ones that are alike as one of all their heads. */
export interface LayerRows {
  /** Its KV heads and rotation. */
  readonly shape: Pick<LayerShape, "kvHeads" | "rope">;
  /** Channels of a row. */
  readonly dim: number;
  /** Its first channel among the numbers of a token. */
  readonly from: number;
  /** Channel after its last. */
  readonly to: number;
  /** f16 where all its rows are. */
  readonly dtype: "f16" | "f32";
  readonly heads: ReadonlyArray<HeadRows>;
}

/** Bytes of a row as a program sees it. */
export const bytesPerRow = ({ dtype, dim }: Pick<LayerRows, "dtype" | "dim">): number => (dtype === "f16" ? 2 : 4) * dim;

/** What a group of layers codes. */
export interface GroupRows {
  /** Layers that hold rows; those that share them in other layers are left out. */
  readonly layers: ReadonlyArray<LayerRows>;
  /** Position of each token, ascending. */
  readonly positions: Uint32Array;
}

/** Where the rows of a group of layers are. */
export interface Rows {
  readonly shape: Pick<ModelShape, "layers">;
  readonly coding: Coding;
  readonly table: CacheTable;
  readonly split: ReadonlyArray<Split>;
}

/** The rows of a group of layers, and the tokens that they make up: every position that a head codes is one. */
export function rowsOfGroup(work: Rows, { from, to }: Pick<Transform, "from" | "to">, stream: Stream): GroupRows {
  const { coding, table, shape, split } = work;
  const tiers = split.filter(({ tier }) => tier.layer >= from && tier.layer < to && isCoded(tier));
  const coded = inside(coding, table);
  const tokenOf = new Int32Array(table.nextPosition);
  for (const { positions } of tiers) for (let row = 0; row < positions.length; row++) tokenOf[positions[row] ?? 0] = 1;
  const positions: number[] = [];
  for (let p = 0; p < tokenOf.length; p++) tokenOf[p] = tokenOf[p] === 1 && coded(p) ? positions.push(p) - 1 : -1;
  const layers: LayerRows[] = [];
  let first = 0;
  for (const [i, own] of shape.layers.slice(from, to).entries()) {
    const dim = stream === "keys" ? own.keyDim : own.valueDim;
    const heads = tiers.filter(({ tier }) => tier.layer === from + i).flatMap((tier) => headsOf(tier, stream, tokenOf));
    const dtype = heads.every((head) => head.dtype === "f16") ? "f16" : "f32";
    if (heads.length > 0) layers.push({ shape: own, dim, from: first, to: first + own.kvHeads * dim, dtype, heads });
    first += own.kvHeads * dim;
  }
  return { layers: layers.reduce(joined, []), positions: Uint32Array.from(positions) };
}

/** One layer more, as part of the one before it where both are alike: one product instead of two. */
function joined(layers: ReadonlyArray<LayerRows>, layer: LayerRows): ReadonlyArray<LayerRows> {
  const last = layers[layers.length - 1];
  const alike = last !== undefined && last.to === layer.from && last.dim === layer.dim && last.dtype === layer.dtype &&
    JSON.stringify(last.shape.rope) === JSON.stringify(layer.shape.rope);
  if (!alike) return [...layers, layer];
  const { kvHeads, rope } = last.shape;
  const heads = [...last.heads, ...layer.heads.map((own) => ({ ...own, head: own.head + kvHeads }))];
  return [...layers.slice(0, -1), { ...last, to: layer.to, heads, shape: { kvHeads: kvHeads + layer.shape.kvHeads, rope } }];
}

function headsOf({ tier, positions }: Split, stream: Stream, tokenOf: Int32Array): ReadonlyArray<HeadRows> {
  const width = stream === "keys" ? keyBytes(tier) : valueBytes(tier);
  const rows = tier.parts[stream === "keys" ? 1 : 2] ?? new Uint8Array();
  const dtype = tier.table[stream] === "f32" ? "f32" : "f16";
  let at = 0;
  return tier.table.lengths.map((length, head) => {
    const first = at;
    at += length;
    const tokens = new Int32Array(length);
    for (let row = 0; row < length; row++) tokens[row] = tokenOf[positions[first + row] ?? 0] ?? -1;
    return { head, dtype, rows: rows.subarray(first * width, at * width), tokens };
  });
}

/** Rows [from, to) of the i-th of a layer's heads. */
export interface Run {
  readonly heads: number;
  readonly from: number;
  readonly to: number;
}

/** Some tokens, and the rows that they have in each layer. */
export interface Tile {
  /** First token. */
  readonly first: number;
  /** At most {@link TILE}. */
  readonly count: number;
  /** By layer, at most as many rows as the tokens have in all heads. */
  readonly runs: ReadonlyArray<ReadonlyArray<Run>>;
}

/** All tokens, tile by tile. Positions ascend within a head; a run ends where those of a forged file do not. */
export function tilesOf({ layers, positions }: GroupRows): ReadonlyArray<Tile> {
  const next = layers.map(({ heads }) => heads.map(() => 0));
  return Array.from({ length: Math.ceil(positions.length / TILE) }, (_, t) => {
    const first = t * TILE;
    const count = Math.min(TILE, positions.length - first);
    const runs = layers.map(({ shape, heads }, l) => {
      let room = count * shape.kvHeads;
      return heads.map(({ tokens }, i): Run => {
        const run = runFrom(tokens, next[l]?.[i] ?? 0, first, first + count, room);
        next[l]?.splice(i, 1, run.to);
        room -= run.to - run.from;
        return { heads: i, ...run };
      });
    });
    return { first, count, runs };
  });
}

/** The rows from `start` on whose tokens ascend within [first, end), `room` at most. */
function runFrom(tokens: Int32Array, start: number, first: number, end: number, room: number): Pick<Run, "from" | "to"> {
  let from = start;
  while (from < tokens.length && (tokens[from] ?? -1) < first) from++;
  let to = from;
  for (let last = first - 1; to < tokens.length && to - from < room; to++) {
    const token = tokens[to] ?? -1;
    if (token <= last || token >= end) break;
    last = token;
  }
  return { from, to };
}
