/**
 * DEFLATE without a search for repetitions, of which coefficients have none: three times as fast as the platform's stream, and as small.
 * @module
 */
import { constants, deflateRaw } from "node:zlib";
import type { Deflate } from "../cache/entropy.ts";

/** Raw DEFLATE with Huffman codes alone.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inflate } from "../cache/entropy.ts";
 * const bytes = Uint8Array.from({ length: 999 }, (_, i) => i % 7);
 * assertEquals(await inflate("a", "numbers", await huffman(bytes), 999), { _tag: "Right", right: bytes });
 * ```
 */
export const huffman: Deflate = (bytes) =>
  bytes.length === 0
    ? Promise.resolve(bytes)
    : new Promise((resolve, reject) =>
      deflateRaw(bytes, { strategy: constants.Z_HUFFMAN_ONLY }, (error, packed) =>
        error === null ? resolve(new Uint8Array(packed)) : reject(error))
    );
