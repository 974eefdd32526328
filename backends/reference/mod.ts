/**
 * The reference backend: the oracle that every other backend is measured against. Plain loops that read like the op table,
 * f64 inside, f32 at the edges, the same bits every time. It is made to be read and trusted, not to be fast; the Wasm and
 * WebGPU backends are for that.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isRight } from "fp-ts/Either.js";
 * import { openReference } from "./mod.ts";
 *
 * const opened = await openReference({ maxBytes: 2 ** 20 })();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   const tooMuch = backend.alloc(2 ** 21, "rows")();
 *   assertEquals(tooMuch._tag, "Left");
 * }
 * ```
 * @module
 */
export { openReference, type ReferenceOptions } from "./open.ts";
export { decodeBlocks } from "../block_numbers.ts";
