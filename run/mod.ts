/**
 * The effects around cache values: open, reserve, stage, advance, settle, fork, read, append, compress, dispose.
 * @module
 */
export { closeMemory, type Memory, openMemory } from "./memory.ts";
export { dispose, fork, openCache } from "./open.ts";
export { advance, bindings, reserve, settle, stage, tierName } from "./bind.ts";
export { shrink } from "./resize.ts";
