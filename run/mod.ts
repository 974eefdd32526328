/**
 * The effects around cache values: open, reserve, stage, advance, settle, fork, read, append, compress, dispose.
 * @module
 */
export { closeMemory, type Family, type Ledger, type Memory, openMemory } from "./memory.ts";
export { dispose, fork, openCache } from "./open.ts";
export { advance, bindings, reserve, settle, stage, tierName } from "./bind.ts";
export { dropRings, narrowRings, shrink } from "./resize.ts";
export { addPages } from "./transform.ts";
export { putIn, type SavedCache, takeOut } from "./save.ts";
export type { CacheTable, LayerTable, TierTable } from "./cache_table.ts";
export { type BufferRows, fromBuffers, type InBuffers } from "./from_buffers.ts";
export { append, type Dense, type DenseRows, fromDense, type NewRows } from "./dense.ts";
export { type HeadRows, read, readPositions, type ReadRows } from "./read.ts";
export { type Applied, apply, type Tokens } from "./apply.ts";
export { attend, type Attended } from "./attend.ts";
export { compress, type Observations } from "./compress.ts";
export { rerotate, rerotateInPlace } from "./rerotate.ts";
export { orThrow } from "./or_throw.ts";
export { type Scoped, scoped } from "./scoped.ts";
export { type PastKeyValues, type PastOptions, type PastTensor, type PrunedPast, prunePast, type StepInputs, stepInputs } from "./past.ts";
