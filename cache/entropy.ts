/**
 * Lossless packing of bytes by the platform's own streams (raw DEFLATE).
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "./error.ts";

/** Packed bytes; none for none. Rows and coefficients, which repeat nothing, take {@link huffman} instead: the same format, several times as fast. */
export const deflate = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> =>
  bytes.length === 0 ? bytes : new Uint8Array(await new Response(through(new CompressionStream("deflate-raw"), bytes)).arrayBuffer());

/** Bytes that a stream is given at a time: a thousand times as many come out of it at most before it is read. */
const PIECE = 1 << 16;

/** What comes out of a stream for these bytes. */
function through(
  { readable, writable }: CompressionStream | DecompressionStream,
  bytes: Uint8Array<ArrayBuffer>,
): ReadableStream<Uint8Array> {
  const writer = writable.getWriter();
  const give = async (): Promise<void> => {
    for (let at = 0; at < bytes.length; at += PIECE) {
      await writer.ready;
      await writer.write(bytes.subarray(at, at + PIECE));
    }
    await writer.close();
  };
  // Whoever reads meets the same error.
  give().catch(() => {});
  return readable;
}

/** The `size` bytes that were packed. Left as soon as there are more, if there are fewer, or if it is no DEFLATE stream; `at` says whose.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const packed = await deflate(new Uint8Array(1000));
 * assertEquals([packed.length < 20, await inflate("a", "zeros", packed, 1000)], [true, { _tag: "Right", right: new Uint8Array(1000) }]);
 * assertEquals((await inflate("a", "zeros", packed, 999))._tag, "Left");
 * ```
 */
export async function inflate(
  file: string,
  at: string,
  packed: Uint8Array,
  size: number,
): Promise<E.Either<KvError, Uint8Array<ArrayBuffer>>> {
  const wrong = (found: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed: `${size} bytes under raw DEFLATE` });
  if (size === 0) return packed.length === 0 ? E.right(new Uint8Array()) : wrong("bytes where there should be none");
  // DEFLATE packs 258 bytes into two bits at best.
  if (size > 1032 * packed.length + 64) return wrong(`${packed.length} bytes, which cannot hold so many`);
  const out = new Uint8Array(size);
  let done = 0;
  try {
    for await (const piece of through(new DecompressionStream("deflate-raw"), new Uint8Array(packed))) {
      if (done + piece.length > size) return wrong("more");
      out.set(piece, done);
      done += piece.length;
    }
  } catch {
    return wrong("something else");
  }
  return done === size ? E.right(out) : wrong(`${done} bytes`);
}
