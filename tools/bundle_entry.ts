/**
 * What `dist/kvfold.js` exports: the library as `mod.ts` has it, and its other entry points under their names.
 * @module
 */
export * from "../mod.ts";
export * as papers from "../papers/mod.ts";
export * as policy from "../policy/mod.ts";
export * as model from "../model/mod.ts";
export { openWasm } from "../backends/wasm/mod.ts";
export { openWebGpu } from "../backends/webgpu/mod.ts";
