/**
 * Ops that move rows and compute nothing: `append`, `extend`, `compact`, `truncate`, `rejoin`, `copyRows`, `slide`, `slice`.
 * @module
 */
import { codecOf, rowBytes } from "../../cache/codec.ts";
import { encodeRows } from "../../cache/encode.ts";
import type { Codec } from "../../cache/types.ts";
import { at, headsOf, type Kernel } from "./kernel.ts";

/** Encodes m rows per head at the end of each segment and adds m to its length. */
export const append: Kernel<"append"> = ({ m, heads, keyDim, valueDim, keyCodec, valueCodec }, operands) => {
  const [layout, position, positions] = [operands.u32("layout"), operands.u32("position"), operands.u32("positions")];
  for (const [h, { start, length }] of headsOf(layout, heads).entries()) {
    const end = start + length;
    for (let i = 0; i < m; i++) position[end + i] = at(positions, i);
    writeRows(rowsOfHead(operands.f32("k"), { m, heads, dim: keyDim, head: h }), operands.bytes("keys"), codecOf(keyCodec), keyDim, end);
    writeRows(
      rowsOfHead(operands.f32("v"), { m, heads, dim: valueDim, head: h }),
      operands.bytes("values"),
      codecOf(valueCodec),
      valueDim,
      end,
    );
    layout[3 * h + 1] = length + m;
  }
};

/** The rows of one head, out of [m, heads, dim]. */
function rowsOfHead(
  from: Float32Array,
  { m, heads, dim, head }: { readonly m: number; readonly heads: number; readonly dim: number; readonly head: number },
): Float32Array {
  const rows = new Float32Array(m * dim);
  for (let i = 0; i < m; i++) rows.set(from.subarray((i * heads + head) * dim, (i * heads + head + 1) * dim), i * dim);
  return rows;
}

/** Encodes rows from `slot` on. */
const writeRows = (rows: Float32Array, to: Uint8Array, codec: Codec, dim: number, slot: number): void =>
  to.set(encodeRows(codec, rows, dim), slot * rowBytes(codec, dim));

/** Gives the last m rows of each segment a first value in a column. */
export const extend: Kernel<"extend"> = ({ m, heads, value }, operands) => {
  const column = operands.f32("column");
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    column.fill(value, start + Math.max(0, length - m), start + length);
  }
};

/** Gathers the kept rows to the front of their segment, ascending, so that source and target may be one. */
export const compact: Kernel<"compact"> = ({ heads, rowBytes }, operands) => {
  const [source, target] = [operands.bytes("source"), operands.bytes("target")];
  const [keep, counts] = [operands.u32("keep"), operands.u32("counts")];
  const targets = headsOf(operands.u32("targetLayout"), heads);
  for (const [h, { start }] of headsOf(operands.u32("sourceLayout"), heads).entries()) {
    const to = targets[h]?.start ?? 0;
    for (let i = 0; i < at(counts, h); i++) {
      const row = (start + at(keep, start + i)) * rowBytes;
      target.set(source.subarray(row, row + rowBytes), (to + i) * rowBytes);
    }
  }
};

/** Sets each length to its count. */
export const truncate: Kernel<"truncate"> = ({ heads }, operands) => {
  const [counts, layout] = [operands.u32("counts"), operands.u32("layout")];
  for (let h = 0; h < heads; h++) layout[3 * h + 1] = at(counts, h);
};

/** Sets each length to what lies before the tail, and its count. */
export const rejoin: Kernel<"rejoin"> = ({ heads }, operands) => {
  const [counts, tail, layout] = [operands.u32("counts"), operands.u32("tail"), operands.u32("layout")];
  for (let h = 0; h < heads; h++) layout[3 * h + 1] = at(tail, 3 * h) - at(layout, 3 * h) + at(counts, h);
};

/** Copies every segment's rows to the segment of another layout. */
export const copyRows: Kernel<"copyRows"> = ({ heads, rowBytes }, operands) => {
  const [source, target] = [operands.bytes("source"), operands.bytes("target")];
  const targets = headsOf(operands.u32("targetLayout"), heads);
  for (const [h, { start, length }] of headsOf(operands.u32("sourceLayout"), heads).entries()) {
    target.set(source.subarray(start * rowBytes, (start + length) * rowBytes), (targets[h]?.start ?? 0) * rowBytes);
  }
};

/** The ring afterwards is the last `window` rows of (ring, then x). */
export const slide: Kernel<"slide"> = ({ m, window, width }, operands) => {
  const [x, ring] = [operands.u32("x"), operands.u32("ring")];
  const fresh = Math.min(m, window);
  ring.copyWithin(0, fresh * width, window * width);
  ring.set(x.subarray((m - fresh) * width, m * width), (window - fresh) * width);
};

/** Rows [from, from + rows) of x. */
export const slice: Kernel<"slice"> = ({ from, rows, width }, operands) => {
  operands.u32("out").set(operands.u32("x").subarray(from * width, (from + rows) * width));
};
