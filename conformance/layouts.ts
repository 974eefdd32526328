/**
 * Ragged memory for cases: segments that do not start at 0, slack inside and between them, rows with gaps in their positions.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { blockRows, codecOf, rowBytes, rowCodecs } from "../cache/codec.ts";
import { encodeRows } from "../cache/encode.ts";
import type { Range } from "./case.ts";
import { sentinel, sentinels } from "./case.ts";
import type { Random } from "./random.ts";

/** One head of a layout, rows. */
export interface Segment {
  readonly start: number;
  readonly length: number;
  readonly capacity: number;
}

/** A layout and the number of slots its memory has. */
export interface Layout {
  readonly label: string;
  readonly segments: ReadonlyArray<Segment>;
  readonly slots: number;
}

/** Rows per head that every op over rows is tried with: the sizes at which loops of 4, 8, 32 and 128 begin and end, alone and unequal. */
export const lengthsToTry: ReadonlyArray<ReadonlyArray<number>> = [
  [0],
  [1],
  [3],
  [31],
  [33],
  [127],
  [1025],
  [0, 0, 0],
  [33, 0, 127],
  [1, 1025, 3],
];

/** Channels per row: heads of real models, one that is no power of two, a very small one. */
export const widthsToTry: ReadonlyArray<number> = [4, 32, 64, 80, 128];

/** Widths that every per-token codec divides, and those codecs. */
const codedWidths: ReadonlyArray<number> = [64, 128];
const perToken: ReadonlyArray<RowCodec> = rowCodecs.filter((name) => codecOf(name)._tag === "Affine" && blockRows(codecOf(name)) === 1);

/** Every length pattern with one width and codec each, so that all of them occur without trying all pairs. */
export const rowForms: ReadonlyArray<{ readonly lengths: ReadonlyArray<number>; readonly dim: number; readonly codec: RowCodec }> =
  lengthsToTry
    .flatMap((lengths, i) => [
      { lengths, dim: widthsToTry[i % 5] ?? 4, codec: "f32" },
      { lengths, dim: widthsToTry[(i + 2) % 5] ?? 4, codec: "f16" },
      { lengths, dim: codedWidths[i % 2] ?? 64, codec: perToken[i % perToken.length] ?? "q8" },
    ]);

/** Rows that keep some of their channels: widths that fill words of the mask and of numbers, and widths that do not. */
export const channelForms: typeof rowForms = [
  { lengths: [33], dim: 64, codec: "f16k60" },
  { lengths: [1, 127, 0], dim: 80, codec: "f16k50" },
  { lengths: [31], dim: 6, codec: "f16k30" },
  { lengths: [1025, 3], dim: 128, codec: "f16k90" },
  { lengths: [3], dim: 100, codec: "f16k10" },
];

/** Segments of these lengths, each with room for `room` more rows, and up to four slots of slack before, between and after them. */
export function layoutOf(random: Random, lengths: ReadonlyArray<number>, room = 0): Layout {
  let end = 0;
  const segments = lengths.map((length) => {
    const start = end + 1 + random.integer(3);
    const capacity = length + room + random.integer(3);
    end = start + capacity;
    return { start, length, capacity };
  });
  return { label: `rows ${lengths.join(" ")}`, segments, slots: end + 1 + random.integer(3) };
}

/** A layout whose segments start and end at whole blocks, sentinels between them. */
export function blocked(layout: Layout, block: number): Layout {
  const up = (n: number): number => Math.ceil(n / block) * block;
  let end = 0;
  const segments = layout.segments.map(({ length, capacity }) => {
    const start = end + block;
    end = start + up(capacity);
    return { start, length: up(length), capacity: up(capacity) };
  });
  return { label: layout.label, segments, slots: end + block };
}

/** The layout as backends read it: u32 [heads, 3]. */
export const layoutWords = ({ segments }: Layout): Uint32Array<ArrayBuffer> =>
  Uint32Array.from(segments.flatMap(({ start, length, capacity }) => [start, length, capacity]));

/** The rows of each head as bytes of memory with this many bytes per slot. */
export const rowRanges = ({ segments }: Layout, bytesPerSlot: number): ReadonlyArray<Range> =>
  segments.map(({ start, length }) => ({ from: start * bytesPerSlot, to: (start + length) * bytesPerSlot }));

/** The slots behind the rows of each head that `m` more rows would take. */
export const nextRanges = ({ segments }: Layout, m: number, bytesPerSlot: number): ReadonlyArray<Range> =>
  segments.map(({ start, length }) => ({ from: (start + length) * bytesPerSlot, to: (start + length + m) * bytesPerSlot }));

/** True for every slot that holds a row. */
const occupied = ({ segments, slots }: Layout): ReadonlyArray<boolean> =>
  Array.from({ length: slots }, (_, slot) => segments.some(({ start, length }) => slot >= start && slot < start + length));

/** A column or other memory of `width` numbers per slot: `value(slot)` in rows, sentinels in slack. */
function fill<A extends Float32Array | Uint32Array | Float16Array>(layout: Layout, width: number, out: A, value: (i: number) => number): A {
  new Uint8Array(out.buffer).set(new Uint8Array(new Uint32Array(Math.ceil(out.byteLength / 4)).fill(sentinel).buffer, 0, out.byteLength));
  const isRow = occupied(layout);
  for (let i = 0; i < out.length; i++) if (isRow[Math.floor(i / width)] === true) out[i] = value(i);
  return out;
}

/** f32 [slots]: a number per row. */
export const columnOf = (layout: Layout, value: (slot: number) => number): Float32Array<ArrayBuffer> =>
  fill(layout, 1, new Float32Array(layout.slots), value);

/** u32 [slots]: a whole number per row. */
export const wordsOf = (layout: Layout, value: (slot: number) => number): Uint32Array<ArrayBuffer> =>
  fill(layout, 1, new Uint32Array(layout.slots), value);

/** rows(codec) [slots, dim] of normal numbers. */
export function rowsOf(
  random: Random,
  layout: Layout,
  dim: number,
  codec: RowCodec,
): Float32Array<ArrayBuffer> | Float16Array<ArrayBuffer> | Uint8Array<ArrayBuffer> {
  const numbers = random.normals(layout.slots * dim);
  const value = (i: number): number => numbers[i] ?? 0;
  if (codec === "f32") return fill(layout, dim, new Float32Array(layout.slots * dim), value);
  if (codec === "f16") return fill(layout, dim, new Float16Array(layout.slots * dim), value);
  return codedRows(layout, dim, codec, numbers);
}

/** Codes in rows, sentinels in slack. */
export function codedRows(layout: Layout, dim: number, codec: RowCodec, numbers: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = rowBytes(codecOf(codec), dim);
  const stored = sentinels(layout.slots * bytes);
  for (const { start, length } of layout.segments) {
    stored.set(encodeRows(codecOf(codec), numbers.subarray(start * dim, (start + length) * dim), dim), start * bytes);
  }
  return stored;
}

/** u32 [slots]: positions that ascend within each head, with gaps of up to `gap` evicted rows. */
export function positionsOf(random: Random, layout: Layout, gap = 3): Uint32Array<ArrayBuffer> {
  const positions = new Map<number, number>();
  for (const { start, length } of layout.segments) {
    let position = random.integer(gap);
    for (let slot = start; slot < start + length; slot++) {
      positions.set(slot, position);
      position += 1 + random.integer(gap);
    }
  }
  return wordsOf(layout, (slot) => positions.get(slot) ?? 0);
}

/** The largest position in any head, 0 if there are no rows. */
export const newestOf = ({ segments }: Layout, positions: Uint32Array): number =>
  segments.reduce((most, { start, length }) => length === 0 ? most : Math.max(most, positions[start + length - 1] ?? 0), 0);
