/**
 * The WebGPU backend: whole programs on a graphics device, one submit per step, nothing read back but what is asked for. Works in Deno and in
 * browsers, on a device of its own or on the caller's. Lengths that a policy decides stay on the device; what only the device can find wrong,
 * the next `read` reports.
 *
 * ```ts
 * import { isRight } from "fp-ts/Either.js";
 * import { openWebGpu } from "./mod.ts";
 *
 * const opened = await openWebGpu()();
 * if (isRight(opened)) {
 *   await using backend = opened.right;
 *   console.log(backend.name, "on", backend.adapter.name);
 * }
 * ```
 * @module
 */
export { openWebGpu, type WebGpuBackend, type WebGpuOptions } from "./open.ts";
export type { AdapterFacts, Feature } from "./device.ts";
