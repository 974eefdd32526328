/**
 * Rows of which only the largest channels are stored: which ones, as one bit per channel in 32-bit words, lowest first, then their numbers
 * as f16 in order of channels. Every row says for itself which channels it has; those it has not decode to 0.
 * @module
 */

/** Channels that are kept of `dim` where `percent` of 100 are: dim - floor(dim * (100 - percent) / 100), made even so that rows are whole words.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([keptChannels(64, 60), keptChannels(128, 50)], [40, 64]);
 * ```
 */
export function keptChannels(dim: number, percent: number): number {
  const kept = dim - Math.floor(dim * (100 - percent) / 100);
  return kept + kept % 2;
}

/** Bytes before the numbers of a row. */
const maskBytes = (dim: number): number => 4 * Math.ceil(dim / 32);

/** Bytes of one row. */
export const channelBytes = (dim: number, percent: number): number => maskBytes(dim) + 2 * keptChannels(dim, percent);

/** The channels of a row that are kept, ascending: the largest by magnitude (the bits without the sign, so that NaN is largest), of equal
 * ones the lowest channels. */
export function largestChannels(row: Float32Array, kept: number): ReadonlyArray<number> {
  const bits = new Uint32Array(Float32Array.from(row).buffer).map((b) => b & 0x7FFFFFFF);
  const order = Array.from(bits.keys()).sort((a, b) => (bits[b] ?? 0) - (bits[a] ?? 0) || a - b);
  return order.slice(0, kept).sort((a, b) => a - b);
}

/** Stored bytes of whole rows. */
export function writeChannels(percent: number, numbers: Float32Array, dim: number): Uint8Array<ArrayBuffer> {
  const [width, kept] = [channelBytes(dim, percent), keptChannels(dim, percent)];
  const rows = Math.floor(numbers.length / Math.max(1, dim));
  const view = new DataView(new ArrayBuffer(rows * width));
  for (let r = 0; r < rows; r++) {
    const row = numbers.subarray(r * dim, (r + 1) * dim);
    for (const [i, c] of largestChannels(row, kept).entries()) {
      const at = r * width + (c >> 3);
      view.setUint8(at, view.getUint8(at) | 1 << (c & 7));
      view.setFloat16(r * width + maskBytes(dim) + 2 * i, row[c] ?? 0, true);
    }
  }
  return new Uint8Array(view.buffer);
}

/** Numbers of whole stored rows. A row that names more channels than it has room for is read up to its end. */
export function readChannels(percent: number, bytes: Uint8Array, dim: number): Float32Array<ArrayBuffer> {
  const [width, kept] = [channelBytes(dim, percent), keptChannels(dim, percent)];
  const rows = Math.floor(bytes.length / Math.max(1, width));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float32Array(rows * dim);
  for (let r = 0; r < rows; r++) {
    let next = 0;
    for (let c = 0; c < dim && next < kept; c++) {
      if ((view.getUint8(r * width + (c >> 3)) >> (c & 7) & 1) === 0) continue;
      out[r * dim + c] = view.getFloat16(r * width + maskBytes(dim) + 2 * next++, true);
    }
  }
  return out;
}
