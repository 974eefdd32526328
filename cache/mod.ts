/**
 * The cache value: plain immutable data, exact bytes, errors.
 * @module
 */
export { type KvError, showError } from "./error.ts";
export type { LayerShape, ModelShape, Rope } from "./shape.ts";
export type { Buffer, Codec, KvCache, LayerCache, PageForm, RecentQueries, Segment, Tier, TierStorage } from "./types.ts";
export { type UniformShape, uniformShape } from "./uniform.ts";
export { bytesOf, type CacheBytes, fullBytes, rowsKept, rowsPerHead } from "./bytes.ts";
export { blockRows, codecName, codecOf, rowBytes, type RowCodec, rowCodecs } from "./codec.ts";
export { checkCache } from "./check.ts";
export { checkShape } from "./check_shape.ts";
export { showBytes, showCache } from "./show.ts";
export { type Packed, packFile, unpackFile } from "./container.ts";
