/**
 * Rows on the host: numbers to stored bytes and back. f16 rounds to nearest, ties to even; all words are little-endian.
 * @module
 */
import type { Codec } from "./types.ts";

/** Stored bytes of these numbers. */
export function encodeRows(codec: Codec, numbers: Float32Array): Uint8Array<ArrayBuffer> {
  const stored = codec.dtype === "f32" ? new Float32Array(numbers) : new Float16Array(numbers);
  return new Uint8Array(stored.buffer);
}

/** Numbers of stored bytes; f16 widens exactly.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const codec = { _tag: "Plain", dtype: "f16" } as const;
 * assertEquals([...decodeRows(codec, encodeRows(codec, Float32Array.of(1, -0.5, 65519)))], [1, -0.5, 65504]);
 * ```
 */
export function decodeRows(codec: Codec, bytes: Uint8Array): Float32Array {
  const own = new Uint8Array(bytes).buffer;
  return codec.dtype === "f32" ? new Float32Array(own) : new Float32Array(new Float16Array(own));
}
