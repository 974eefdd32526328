/**
 * Rows on the host: numbers to stored bytes and back. f16 rounds to nearest, ties to even; all words are little-endian.
 * @module
 */
import { readChannels, writeChannels } from "./channels.ts";
import { readAffine, rowBytes, writeAffine } from "./codec.ts";
import type { Codec } from "./types.ts";

/** Stored bytes of whole rows of `dim` numbers; per-channel codecs take whole blocks of rows. */
export function encodeRows(codec: Codec, numbers: Float32Array, dim = 1): Uint8Array<ArrayBuffer> {
  if (codec._tag === "Plain") {
    const stored = codec.dtype === "f32" ? new Float32Array(numbers) : new Float16Array(numbers);
    return new Uint8Array(stored.buffer);
  }
  if (codec._tag === "Channels") return writeChannels(codec.percent, numbers, dim);
  const rows = numbers.length / Math.max(1, dim);
  const bytes = new Uint8Array(rows * rowBytes(codec, dim));
  writeAffine(codec, numbers, rows, dim, bytes, 0);
  return bytes;
}

/** Numbers of the stored bytes of whole rows; f16 widens exactly.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { codecOf } from "./codec.ts";
 * const [half, four] = [codecOf("f16"), codecOf("q4")];
 * assertEquals([...decodeRows(half, encodeRows(half, Float32Array.of(1, -0.5, 65519), 3), 3)], [1, -0.5, 65504]);
 * assertEquals([...decodeRows(four, encodeRows(four, Float32Array.of(0, 1, 2, 3, 4, 5, 6, 15), 8), 8)], [0, 1, 2, 3, 4, 5, 6, 15]);
 * ```
 */
export function decodeRows(codec: Codec, bytes: Uint8Array, dim = 1): Float32Array {
  if (codec._tag === "Affine") return readAffine(codec, bytes, 0, Math.floor(bytes.length / Math.max(1, rowBytes(codec, dim))), dim);
  if (codec._tag === "Channels") return readChannels(codec.percent, bytes, dim);
  const own = new Uint8Array(bytes).buffer;
  return codec.dtype === "f32" ? new Float32Array(own) : new Float32Array(new Float16Array(own));
}
