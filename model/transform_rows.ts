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

/** Writes the rows whose token is in [first, first + tokens) to x f32 [tokens, width], keys turned back to position 0, less `mean`.
 * `tokenOf` gives the token of a position, or -1. */
export function gather(
  x: Float32Array,
  { shape, rows, dtype, positions, offset }: HeadPlace,
  stream: Stream,
  { first, tokens, width, mean, tokenOf, angles }: Tile,
): void {
  const dim = stream === "keys" ? shape.keyDim : shape.valueDim;
  const table = halfTable();
  const raw = dtype === "f16" ? new Uint16Array(rows.buffer, rows.byteOffset, rows.length / 2) : null;
  const plain = raw === null ? new Float32Array(rows.buffer, rows.byteOffset, rows.length / 4) : null;
  const [dims, turns] = stream === "keys" ? [shape.rope.dims, angles(shape)] : [0, null];
  const half = dims / 2;
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row] ?? 0;
    const token = (tokenOf[position] ?? -1) - first;
    if (token < 0 || token >= tokens) continue;
    const [to, from] = [token * width + offset, row * dim];
    if (raw !== null) { for (let c = 0; c < dim; c++) x[to + c] = table[raw[from + c] ?? 0] ?? 0; }
    else if (plain !== null) { for (let c = 0; c < dim; c++) x[to + c] = plain[from + c] ?? 0; }
    if (turns !== null) {
      const at = position * dims;
      for (let i = 0; i < half; i++) {
        const [a, b, cos, sin] = [x[to + i] ?? 0, x[to + half + i] ?? 0, turns[at + i] ?? 0, turns[at + half + i] ?? 0];
        x[to + i] = a * cos + b * sin;
        x[to + half + i] = b * cos - a * sin;
      }
    }
    for (let c = 0; c < dim; c++) x[to + c] = (x[to + c] ?? 0) - (mean[offset + c] ?? 0);
  }
}

/** A run of tokens. */
export interface Tile {
  readonly first: number;
  readonly tokens: number;
  readonly width: number;
  readonly mean: Float32Array;
  readonly tokenOf: Int32Array;
  readonly angles: Angles;
}

/** The reverse of {@link gather}: numbers of tokens become stored rows, keys rotated to their own positions. Consumes x. */
export function scatter(
  x: Float32Array,
  { shape, rows, dtype, positions, offset }: HeadPlace,
  stream: Stream,
  { first, tokens, width, mean, tokenOf, angles }: Tile,
): void {
  const dim = stream === "keys" ? shape.keyDim : shape.valueDim;
  const out = dtype === "f16"
    ? new Float16Array(rows.buffer, rows.byteOffset, rows.length / 2)
    : new Float32Array(rows.buffer, rows.byteOffset, rows.length / 4);
  const [dims, turns] = stream === "keys" ? [shape.rope.dims, angles(shape)] : [0, null];
  const half = dims / 2;
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row] ?? 0;
    const token = (tokenOf[position] ?? -1) - first;
    if (token < 0 || token >= tokens) continue;
    const at = token * width + offset;
    for (let c = 0; c < dim; c++) x[at + c] = (x[at + c] ?? 0) + (mean[offset + c] ?? 0);
    if (turns !== null) {
      const angle = position * dims;
      for (let i = 0; i < half; i++) {
        const [a, b, cos, sin] = [x[at + i] ?? 0, x[at + half + i] ?? 0, turns[angle + i] ?? 0, turns[angle + half + i] ?? 0];
        x[at + i] = a * cos - b * sin;
        x[at + half + i] = b * cos + a * sin;
      }
    }
    out.set(x.subarray(at, at + dim), row * dim);
  }
}
