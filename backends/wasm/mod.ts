/**
 * The Wasm backend: whole programs run inside WebAssembly, one call per step, on one thread with SIMD or on several with relaxed
 * SIMD over shared memory. Works in Deno, Node and browsers; nothing is fetched, the kernels come inlined.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isRight } from "fp-ts/Either.js";
 * import { openWasm } from "./mod.ts";
 *
 * const opened = await openWasm({ build: "fast", threads: 2 })();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   assertEquals(backend.caps.threads, 2);
 * }
 * ```
 * @module
 */
export { openWasm, type WasmOptions } from "./open.ts";
export type { Build } from "./instance.ts";
