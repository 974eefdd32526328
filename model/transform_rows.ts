/**
 * Rows of a cache as the numbers that a transform takes, token by token, and back: f16 or f32 to f32, keys without their rotation.
 * @module
 */
import type { LayerShape } from "../cache/shape.ts";
import type { Stream } from "./transform.ts";

/** Rows of one head of one layer, and where their numbers lie among those of a token. */
export interface HeadPlace {
  readonly shape: LayerShape;
  /** Stored rows, f16 or f32, one after the other. */
  readonly rows: Uint8Array;
  readonly dtype: "f16" | "f32";
  /** Position of each row. */
  readonly positions: Uint32Array;
  /** First channel among the numbers of a token. */
  readonly offset: number;
}

/** cosines and sines for positions from 0, f32 [positions, dims]; see `ropeTable`. */
export type Angles = (shape: LayerShape) => Float32Array;

/** Every half as f32; built on first use. */
let halves: Float32Array | null = null;
const halfTable = (): Float32Array =>
  halves ??= Float32Array.from(new Float16Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer), (x) => x);

/** A run of tokens. */
export interface Tile {
  readonly first: number;
  readonly tokens: number;
  readonly width: number;
  readonly mean: Float32Array;
  readonly tokenOf: Int32Array;
  readonly angles: Angles;
}

/** Writes the rows whose token is in [first, first + tokens) to x f32 [tokens, width], keys turned back to position 0, less `mean`.
 * `tokenOf` gives the token of a position, or -1. */
export function gather(x: Float32Array, head: HeadPlace, stream: Stream, tile: Tile): void {
  const { shape, rows, dtype, positions, offset } = head;
  const { first, tokens, width, mean, tokenOf, angles } = tile;
  const dim = stream === "keys" ? shape.keyDim : shape.valueDim;
  const table = halfTable();
  const raw = dtype === "f16" ? new Uint16Array(rows.buffer, rows.byteOffset, rows.length / 2) : null;
  const plain = dtype === "f32" ? new Float32Array(rows.buffer, rows.byteOffset, rows.length / 4) : null;
  const dims = stream === "keys" ? shape.rope.dims : 0;
  const turns = stream === "keys" ? angles(shape) : null;
  const own = mean.subarray(offset, offset + dim);
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row] ?? 0;
    const token = (tokenOf[position] ?? -1) - first;
    if (token < 0 || token >= tokens) continue;
    const to = token * width + offset;
    if (raw !== null) widen(x, to, raw, row * dim, dim, table);
    else if (plain !== null) x.set(plain.subarray(row * dim, (row + 1) * dim), to);
    if (turns !== null) turn(x, to, turns, position * dims, dims / 2, -1);
    for (let c = 0; c < dim; c++) x[to + c] = (x[to + c] ?? 0) - (own[c] ?? 0);
  }
}

/** The reverse of {@link gather}: numbers of tokens become stored rows, keys rotated to their own positions. Rows whose tokens follow each
 * other lie together, so each head is converted in one piece. Consumes x. */
export function scatter(x: Float32Array, head: HeadPlace, stream: Stream, tile: Tile): void {
  const { shape, rows, dtype, positions, offset } = head;
  const { first, tokens, width, mean, tokenOf, angles } = tile;
  const dim = stream === "keys" ? shape.keyDim : shape.valueDim;
  const dims = stream === "keys" ? shape.rope.dims : 0;
  const turns = stream === "keys" ? angles(shape) : null;
  const own = mean.subarray(offset, offset + dim);
  const piece = new Float32Array(Math.min(tokens, positions.length) * dim);
  let [from, count] = [0, 0];
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row] ?? 0;
    const token = (tokenOf[position] ?? -1) - first;
    if (token < 0 || token >= tokens) continue;
    if (count === 0) from = row;
    const at = token * width + offset;
    const to = count++ * dim;
    for (let c = 0; c < dim; c++) piece[to + c] = (x[at + c] ?? 0) + (own[c] ?? 0);
    if (turns !== null) turn(piece, to, turns, position * dims, dims / 2, 1);
  }
  const out = dtype === "f16"
    ? new Float16Array(rows.buffer, rows.byteOffset, rows.length / 2)
    : new Float32Array(rows.buffer, rows.byteOffset, rows.length / 4);
  out.set(piece.subarray(0, count * dim), from * dim);
}

function widen(x: Float32Array, to: number, raw: Uint16Array, from: number, dim: number, table: Float32Array): void {
  for (let c = 0; c < dim; c++) x[to + c] = table[raw[from + c] ?? 0] ?? 0;
}

/** Rotates pairs (i, i + half) from `at` on by the angles of a position, forth (1) or back (-1). */
function turn(x: Float32Array, at: number, turns: Float32Array, angle: number, half: number, way: 1 | -1): void {
  for (let i = 0; i < half; i++) {
    const a = x[at + i] ?? 0;
    const b = x[at + half + i] ?? 0;
    const cos = turns[angle + i] ?? 0;
    const sin = way * (turns[angle + half + i] ?? 0);
    x[at + i] = a * cos - b * sin;
    x[at + half + i] = b * cos + a * sin;
  }
}
